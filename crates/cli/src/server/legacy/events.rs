//! One record as an event of the ledger, or why there is none.

use super::texts;
use std::collections::HashMap;
use std::fmt;
use tt_memtrace_wire::legacy::{Message, NoRecord, Record, Trouble};
use tt_memtrace_wire::{Alloc, BufferLayout, BufferType, CbAlloc, CbDealloc, Dealloc, Event, Kernel, Place};

/// No host has as many chips; a larger number is a part of something else.
const N_CHIPS: u32 = 1024;
/// What is larger than any chip's memory is refused, as the earlier server did.
const MOST_BYTES: u64 = 100 << 30;
/// So many circular buffers of one process are known at once.
const MOST_CIRCULAR: usize = 1 << 20;

/// What is not taken from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A chip that cannot be.
    Device(i32),
    /// A size that cannot be.
    Size(u64),
    /// A memory type that does not exist.
    BufferType {
        /// Its number.
        buffer_type: u8,
        /// Where it was said to be.
        buffer_id: u64,
        /// On which chip.
        device: i32,
    },
    /// A circular buffer was released that was not laid out.
    UnknownCircular {
        /// Its address.
        address: u64,
        /// The chip.
        device: u32,
    },
    /// A message that clients do not send.
    Message(u8),
    /// A process holds more than anyone can.
    TooMany,
    /// A record that is none.
    Record(NoRecord),
    /// So many bytes, and then nothing: no version has a record of that size.
    Half(usize),
    /// Its process is over, and another one goes on with its connection.
    Over,
    /// Nothing can be made of what comes.
    Bytes(Trouble),
}

impl Refused {
    /// As the earlier server said it, if it did.
    pub fn classic(&self) -> Option<String> {
        match *self {
            Self::Device(device) => Some(texts::bad_device(device)),
            Self::Size(size_bytes) => Some(texts::bad_size(size_bytes)),
            Self::BufferType { buffer_type, buffer_id, device } => {
                Some(texts::bad_type(buffer_type, buffer_id, device))
            }
            Self::Message(number) => Some(texts::unknown_message(number)),
            Self::Bytes(Trouble::TooManyBad(n)) => Some(texts::too_many_errors(n)),
            Self::Record(NoRecord::Type(number)) => Some(texts::unknown_message(number)),
            Self::UnknownCircular { .. }
            | Self::TooMany
            | Self::Record(_)
            | Self::Half(_)
            | Self::Over
            | Self::Bytes(_) => None,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(device) => write!(f, "a message about chip {device}, which cannot be, is ignored"),
            Self::Size(bytes) => write!(f, "an allocation of {bytes} bytes, which cannot be, is ignored"),
            Self::BufferType { buffer_type, buffer_id, device } => {
                write!(
                    f,
                    "an allocation of memory type {buffer_type} at {buffer_id:#x} of chip {device} is ignored"
                )
            }
            Self::UnknownCircular { address, device } => {
                write!(
                    f,
                    "no circular buffer is known at {address:#x} of chip {device}, its release is ignored"
                )
            }
            Self::Message(number) => {
                write!(f, "a message of type {number}, which clients do not send, is ignored")
            }
            Self::TooMany => {
                f.write_str("holds more than is kept for one process, further allocations are ignored")
            }
            Self::Record(why) => write!(f, "what is no record is passed over: {why}"),
            Self::Half(1) => f.write_str("sent 1 byte, which is no record of any version, and nothing more"),
            Self::Half(n) => write!(f, "sent {n} bytes, which is no record of any version, and nothing more"),
            Self::Over => f.write_str("is over, what others tell on its connection is ignored"),
            Self::Bytes(trouble) => write!(f, "not listened to any longer: {trouble}"),
        }
    }
}

/// The circular buffers of one process. The ledger knows them by their programs, of which the protocol says nothing:
/// each is a program of its own, so that its release finds it.
#[derive(Debug, Default)]
pub struct Circular {
    /// By chip and address: the numbers of the programs, and the sizes.
    laid: HashMap<(u32, u64), Vec<(u64, u64)>>,
    n_laid: usize,
    last: u64,
}

impl Circular {
    fn lay_out(&mut self, chip: u32, record: &Record) -> Result<Event, Refused> {
        if self.n_laid >= MOST_CIRCULAR {
            return Err(Refused::TooMany);
        }
        self.n_laid += 1;
        self.last += 1;
        self.laid.entry((chip, record.buffer_id)).or_default().push((self.last, record.size_bytes));
        Ok(Event::CbAlloc(CbAlloc {
            place: Place::Chip(chip),
            program: Some(self.last),
            cores: 0,
            address: record.buffer_id,
            size_bytes: record.size_bytes,
            globally_allocated: false,
        }))
    }

    /// Of several at one address, one of the size that is told; the newest.
    fn release(&mut self, chip: u32, record: &Record) -> Result<Event, Refused> {
        let key = (chip, record.buffer_id);
        let unknown = Refused::UnknownCircular { address: record.buffer_id, device: chip };
        let here = self.laid.get_mut(&key).ok_or(unknown)?;
        let at = here.iter().rposition(|(_, size_bytes)| *size_bytes == record.size_bytes);
        let (program, _) = here.remove(at.unwrap_or(here.len().saturating_sub(1)));
        if here.is_empty() {
            self.laid.remove(&key);
        }
        self.n_laid -= 1;
        Ok(Event::CbDealloc(CbDealloc { place: Some(Place::Chip(chip)), program: Some(program) }))
    }
}

/// What a record of a runtime tells. Questions are none of it.
pub fn event(record: &Record, circular: &mut Circular) -> Result<Event, Refused> {
    let chip = u32::try_from(record.device_id).ok().filter(|chip| *chip < N_CHIPS);
    let chip = chip.ok_or(Refused::Device(record.device_id))?;
    let takes_memory = matches!(record.message, Message::Alloc | Message::CbAlloc | Message::KernelLoad);
    let is_empty = record.message == Message::Alloc && record.size_bytes == 0;
    if is_empty || (takes_memory && record.size_bytes > MOST_BYTES) {
        return Err(Refused::Size(record.size_bytes));
    }
    let place = Place::Chip(chip);
    let address = record.buffer_id;
    // Without memory behind them, buffers are announced at no address.
    let hooked = address == 0;
    Ok(match record.message {
        Message::Alloc => Event::Alloc(Alloc {
            place,
            allocator: None,
            buffer_type: buffer_type(record)?,
            layout: BufferLayout::Interleaved,
            address,
            size_bytes: record.size_bytes,
            page_size_bytes: 0,
            per_bank_bytes: 0,
            n_cores: None,
            cores: None,
            unique_id: None,
            owns_data: None,
            hooked,
        }),
        Message::Free => Event::Dealloc(Dealloc {
            place,
            buffer_type: None,
            address,
            size_bytes: None,
            unique_id: None,
            hooked,
        }),
        Message::CbAlloc => circular.lay_out(chip, record)?,
        Message::CbFree => circular.release(chip, record)?,
        Message::KernelLoad => Event::KernelLoad(Kernel {
            place,
            kind: record.kernel_kind(),
            program: Some(record.buffer_id),
            size_bytes: record.size_bytes,
            n_cores: 1,
        }),
        Message::KernelUnload => Event::KernelUnload { place, program: Some(record.buffer_id) },
        Message::Query
        | Message::Response
        | Message::DumpRemaining
        | Message::DeviceInfoQuery
        | Message::DeviceInfoResponse
        | Message::DumpKernels => return Err(Refused::Message(record.message.number())),
    })
}

fn buffer_type(record: &Record) -> Result<BufferType, Refused> {
    let Record { kind, buffer_id, device_id, .. } = *record;
    match record.buffer_type() {
        BufferType::Unknown(_) => {
            Err(Refused::BufferType { buffer_type: kind, buffer_id, device: device_id })
        }
        known => Ok(known),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(message: Message, device_id: i32, size_bytes: u64) -> Record {
        Record { size_bytes, buffer_id: 0x100, process_id: 7, ..Record::new(message, device_id) }
    }

    fn refused(record: Record) -> Refused {
        event(&record, &mut Circular::default()).unwrap_err()
    }

    #[test]
    fn what_cannot_be_is_refused_and_named_as_the_earlier_server_did() {
        let text = |record| refused(record).classic().unwrap();
        assert_eq!(text(record(Message::Alloc, -1, 32)), "⚠️  Invalid device_id -1 - ignoring message");
        assert_eq!(
            text(record(Message::Free, 2_657_333, 0)),
            "⚠️  Invalid device_id 2657333 - ignoring message"
        );
        assert_eq!(text(record(Message::Alloc, 0, 0)), "⚠️  Invalid size 0 - ignoring message");
        let most = 100 << 30;
        assert!(event(&record(Message::Alloc, 0, most), &mut Circular::default()).is_ok());
        let text_of_more = text(record(Message::Alloc, 0, most + 1));
        assert_eq!(text_of_more, "⚠️  Invalid size 107374182401 - ignoring message");
        let odd = Record { kind: 5, ..record(Message::Alloc, 3, 32) };
        assert_eq!(text(odd), "⚠️  Invalid buffer_type 5 for buffer 0x100 on device 3");
        assert_eq!(text(record(Message::Response, 3, 32)), "Unknown message type: 4");
    }

    #[test]
    fn chips_beyond_seven_are_chips() {
        for chip in [8, 31, 1023] {
            let Ok(Event::Alloc(alloc)) = event(&record(Message::Alloc, chip, 32), &mut Circular::default())
            else {
                panic!("chip {chip} is refused");
            };
            assert_eq!(alloc.place, Place::Chip(u32::try_from(chip).unwrap()));
        }
        assert_eq!(refused(record(Message::Alloc, 1024, 32)), Refused::Device(1024));
    }

    #[test]
    fn circular_buffers_at_one_address_are_released_one_by_one() {
        let mut circular = Circular::default();
        let mut tell = |message, size| event(&record(message, 1, size), &mut circular);
        let mut laid = Vec::new();
        for size in [2048, 4096, 2048] {
            let Ok(Event::CbAlloc(cb)) = tell(Message::CbAlloc, size) else { panic!("refused") };
            laid.push(cb.program);
        }
        let mut released = Vec::new();
        for size in [4096, 2048, 9999] {
            let Ok(Event::CbDealloc(cb)) = tell(Message::CbFree, size) else { panic!("refused") };
            released.push(cb.program);
        }
        assert_eq!(released, [laid[1], laid[2], laid[0]]);
        let none_left = tell(Message::CbFree, 2048);
        assert_eq!(none_left, Err(Refused::UnknownCircular { address: 0x100, device: 1 }));
    }
}
