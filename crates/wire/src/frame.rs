//! The tracking server's protocol: what a recorded process, and whoever asks about it, say on the server's socket.
//!
//! A Unix stream socket carries frames: eight bytes (the length of the payload as a little-endian `u32`, the number of
//! the [`Kind`], three zero bytes), then the payload. The first frame is a hello, and its answer a welcome or a
//! refusal. A recorder then tells what it holds (`StateBegin`, lines, `StateEnd`), and after that every line as its
//! capture has it. Numbers in payloads are little-endian. `docs/protocol.md` is the same in prose.

use crate::version::Version;
use std::fmt;

/// The first bytes of a hello.
pub const MAGIC: [u8; 8] = *b"ttmtrace";
/// The version of the protocol. A server refuses another major version; a minor one only adds kinds and fields.
pub const PROTOCOL: Version = Version { major: 1, minor: 0 };
/// Bytes of a frame before its payload.
pub const HEAD_BYTES: usize = 8;
/// No payload is longer; a longer one is no frame.
pub const MAX_PAYLOAD: usize = 1 << 20;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Client: [`MAGIC`], major and minor version (`u16` each), [`Role`] (`u8`), three zero bytes; a recorder adds the
    /// header line of its capture.
    Hello = 1,
    /// Server: the hello is accepted. A JSON object: `protocol`, `tool`, `pid`.
    Welcome = 2,
    /// Server: the hello, or a later frame, is not accepted; the connection ends. A line of text that says why.
    Refused = 3,
    /// Recorder: forget what this process held. What follows until [`Self::StateEnd`] are the definitions and events
    /// that make up what it holds after its event number `n`. Two `u64`: `n`, and how many events were dropped by then.
    StateBegin = 4,
    /// Recorder: the state is complete. Empty.
    StateEnd = 5,
    /// Recorder: whole lines of the capture, in their order.
    Lines = 6,
    /// Server: every line up to the event of this number (`u64`) is in the ledger.
    Ack = 7,
    /// Asker: a JSON object with `request`.
    Request = 8,
    /// Server: a JSON object. One for each request; more, until the connection ends, for a request to follow.
    Answer = 9,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Hello,
        Self::Welcome,
        Self::Refused,
        Self::StateBegin,
        Self::StateEnd,
        Self::Lines,
        Self::Ack,
        Self::Request,
        Self::Answer,
    ];

    /// The kind of this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// The number on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// What a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A recorded process.
    Recorder = 1,
    /// A viewer or a script.
    Asker = 2,
}

/// The first frame of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello<'a> {
    /// The version of the protocol it speaks.
    pub version: Version,
    /// What it is.
    pub role: Role,
    /// The header line of a recorder's capture; empty for an asker.
    pub header: &'a [u8],
}

/// Why bytes are no frame, or a payload is none of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The payload would be longer than [`MAX_PAYLOAD`].
    TooLong(u32),
    /// A kind of this number is not known to this version.
    UnknownKind(u8),
    /// The three zero bytes are not zero.
    BadHead,
    /// The payload is not what its kind says.
    BadPayload(Kind),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(length) => write!(f, "a frame of {length} bytes, more than {MAX_PAYLOAD}"),
            Self::UnknownKind(number) => write!(f, "a frame of the unknown kind {number}"),
            Self::BadHead => f.write_str("bytes that are no frame"),
            Self::BadPayload(kind) => write!(f, "a frame {kind:?} with a payload that is none"),
        }
    }
}

impl std::error::Error for FrameError {}

/// The first bytes of a frame. A payload longer than [`MAX_PAYLOAD`] is the caller's mistake: the receiver refuses it.
pub fn head(kind: Kind, length: usize) -> [u8; HEAD_BYTES] {
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    [a, b, c, d, kind.number(), 0, 0, 0]
}

/// Appends a whole frame.
pub fn put(kind: Kind, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&head(kind, payload.len()));
    out.extend_from_slice(payload);
}

/// The kind and the payload's length, from a frame's first bytes.
pub fn parse_head(head: [u8; HEAD_BYTES]) -> Result<(Kind, usize), FrameError> {
    let [a, b, c, d, kind, zeros @ ..] = head;
    if zeros != [0; 3] {
        return Err(FrameError::BadHead);
    }
    let length = u32::from_le_bytes([a, b, c, d]);
    let bytes = usize::try_from(length).unwrap_or(usize::MAX);
    if bytes > MAX_PAYLOAD {
        return Err(FrameError::TooLong(length));
    }
    Ok((Kind::from_number(kind).ok_or(FrameError::UnknownKind(kind))?, bytes))
}

impl Hello<'_> {
    const FIXED: usize = 16;

    /// Appends the frame.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&head(Kind::Hello, Self::FIXED + self.header.len()));
        out.extend_from_slice(&MAGIC);
        for number in [self.version.major, self.version.minor] {
            out.extend_from_slice(&u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes());
        }
        out.extend_from_slice(&[self.role as u8, 0, 0, 0]);
        out.extend_from_slice(self.header);
    }
}

impl<'a> Hello<'a> {
    /// Reads the payload of a hello.
    pub fn parse(payload: &'a [u8]) -> Result<Self, FrameError> {
        let bad = FrameError::BadPayload(Kind::Hello);
        let (magic, rest) = payload.split_first_chunk::<8>().ok_or(bad)?;
        let ([a, b, c, d, role, ..], header) = rest.split_first_chunk::<8>().ok_or(bad)?;
        if *magic != MAGIC {
            return Err(bad);
        }
        let role = match role {
            1 => Role::Recorder,
            2 => Role::Asker,
            _ => return Err(bad),
        };
        let number = |low, high| u32::from(u16::from_le_bytes([low, high]));
        let version = Version { major: number(*a, *b), minor: number(*c, *d) };
        Ok(Self { version, role, header })
    }
}

/// Appends a frame of numbers: [`Kind::StateBegin`], [`Kind::Ack`].
pub fn put_numbers(kind: Kind, numbers: &[u64], out: &mut Vec<u8>) {
    out.extend_from_slice(&head(kind, numbers.len() * 8));
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
}

/// Reads the payload of such a frame; numbers that a later minor version added behind them are passed over.
pub fn parse_numbers<const N: usize>(kind: Kind, payload: &[u8]) -> Result<[u64; N], FrameError> {
    let (numbers, _) = payload.as_chunks::<8>();
    let numbers = numbers.first_chunk::<N>().ok_or(FrameError::BadPayload(kind))?;
    Ok(numbers.map(u64::from_le_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_comes_back_as_it_was() {
        let hello = Hello { version: PROTOCOL, role: Role::Recorder, header: b"{\"kind\":\"header\"}" };
        let mut bytes = Vec::new();
        hello.put(&mut bytes);
        let (head, payload) = bytes.split_first_chunk::<HEAD_BYTES>().unwrap();
        assert_eq!(parse_head(*head), Ok((Kind::Hello, payload.len())));
        assert_eq!(Hello::parse(payload), Ok(hello));
        assert!(Hello::parse(&payload[..15]).is_err());
        assert!(Hello::parse(&[b"GET / HTTP/1.1\r\n", payload].concat()).is_err());
    }

    #[test]
    fn numbers_come_back_and_too_few_are_refused() {
        let mut bytes = Vec::new();
        put_numbers(Kind::StateBegin, &[7, u64::MAX], &mut bytes);
        assert_eq!(parse_numbers(Kind::StateBegin, &bytes[HEAD_BYTES..]), Ok([7, u64::MAX]));
        let short = parse_numbers::<2>(Kind::StateBegin, &bytes[HEAD_BYTES..HEAD_BYTES + 15]);
        assert_eq!(short, Err(FrameError::BadPayload(Kind::StateBegin)));
    }

    #[test]
    fn what_is_no_frame_is_refused_by_its_head() {
        assert_eq!(parse_head(head(Kind::Lines, MAX_PAYLOAD)), Ok((Kind::Lines, MAX_PAYLOAD)));
        assert_eq!(parse_head(head(Kind::Lines, MAX_PAYLOAD + 1)), Err(FrameError::TooLong(1 << 20 | 1)));
        assert_eq!(parse_head([0, 0, 0, 0, 99, 0, 0, 0]), Err(FrameError::UnknownKind(99)));
        assert_eq!(parse_head(*b"GET / HT"), Err(FrameError::BadHead));
    }
}
