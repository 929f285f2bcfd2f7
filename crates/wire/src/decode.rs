//! From JSON lines to values. Every key a line may have is read in one pass into [`Fields`]; what a kind
//! needs is then taken from there. Unknown keys are ignored, unknown kinds are [`Line::Unknown`].

mod own;

use crate::event::{
    Alloc, BufferLayout, BufferType, CbAlloc, CbDealloc, Clash, Dealloc, Event, Failure, Kernel, KernelKind,
    Lost, Place, Request, Stamp, SweepCause, TraceStep,
};
use crate::line::{
    Allocator, Bank, Context, Cores, Device, Ending, Footer, Frame, Header, Line, LineError, Mesh, Parent,
    Range, Recovery, Runtime, Stack, Text,
};
use crate::version::{SCHEMA, Version};
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use std::borrow::Cow;
use std::fmt;

pub(crate) fn line(text: &str) -> Result<Line, LineError> {
    own::line(text).map_or_else(|| json_line(text), Ok)
}

fn json_line(text: &str) -> Result<Line, LineError> {
    let fields: Fields<'_> = serde_json::from_str(text).map_err(|e| LineError::NotALine(e.to_string()))?;
    fields.into_line()
}

/// A 64-bit number, written as a number or, above 2^53, as a string.
#[derive(Clone, Copy)]
struct Number(u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a 64-bit number or a string of its digits")
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Number, E> {
                Ok(Number(value))
            }
            fn visit_str<E: Error>(self, digits: &str) -> Result<Number, E> {
                digits.parse().map(Number).map_err(|_| E::invalid_value(Unexpected::Str(digits), &self))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[derive(serde::Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    n: Option<Number>,
    t_ns: Option<Number>,
    tid: Option<u32>,
    #[serde(default)]
    ctx: u32,
    mesh_id: Option<u32>,
    chip: Option<u32>,
    allocator: Option<Number>,
    #[serde(borrow, rename = "type")]
    buffer_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    layout: Option<Cow<'a, str>>,
    address: Option<Number>,
    size_bytes: Option<Number>,
    page_size_bytes: Option<Number>,
    per_bank_bytes: Option<Number>,
    n_cores: Option<Number>,
    unique_id: Option<Number>,
    owns_data: Option<bool>,
    #[serde(default)]
    hooked: bool,
    program: Option<ProgramField<'a>>,
    cores: Option<u32>,
    globally_allocated: Option<bool>,
    #[serde(borrow)]
    cause: Option<Cow<'a, str>>,
    token: Option<Number>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    arguments: Option<Cow<'a, str>>,
    #[serde(borrow)]
    kernel: Option<Cow<'a, str>>,
    trace: Option<Number>,
    #[serde(borrow)]
    failure: Option<Cow<'a, str>>,
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
    dropped: Option<Number>,
    recorded: Option<Number>,
    recovered: Option<Number>,
    unfinished: Option<Number>,
    unreadable: Option<Number>,
    #[serde(borrow)]
    ended: Option<Cow<'a, str>>,
    chips: Option<Vec<u32>>,
    rows: Option<u32>,
    cols: Option<u32>,
    #[serde(borrow)]
    arch: Option<Cow<'a, str>>,
    bank_rounding_bytes: Option<Number>,
    banks: Option<Vec<BankFields<'a>>>,
    ranges: Option<Vec<[u32; 4]>>,
    text: Option<u32>,
    value: Option<String>,
    stack: Option<u32>,
    frames: Option<Vec<[u32; 3]>>,
    is_cut: Option<bool>,
    op: Option<u32>,
    test: Option<u32>,
    #[serde(borrow)]
    schema: Option<Cow<'a, str>>,
    #[serde(borrow)]
    version: Option<Cow<'a, str>>,
    tool: Option<String>,
    pid: Option<u32>,
    process_start: Option<Number>,
    host: Option<String>,
    boot_id: Option<String>,
    pid_namespace: Option<String>,
    rank: Option<u32>,
    command: Option<Vec<String>>,
    wall_ns: Option<Number>,
    runtime: Option<RuntimeFields>,
    settings: Option<SettingsFields>,
    spool: Option<String>,
    parent: Option<ParentFields>,
}

/// `program` is a number in events and the executable's name in the header.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum ProgramField<'a> {
    Number(u64),
    Text(#[serde(borrow)] Cow<'a, str>),
}

#[derive(serde::Deserialize)]
struct BankFields<'a> {
    #[serde(borrow, rename = "type")]
    buffer_type: Cow<'a, str>,
    n_banks: u32,
    bank_size_bytes: Number,
    base_address: Option<Number>,
}

#[derive(serde::Deserialize)]
struct RuntimeFields {
    version: Option<String>,
    library: String,
}

#[derive(serde::Deserialize)]
struct SettingsFields {
    stacks: String,
}

#[derive(serde::Deserialize)]
struct ParentFields {
    capture: String,
    pid: u32,
    token: Number,
}

impl Fields<'_> {
    fn into_line(self) -> Result<Line, LineError> {
        Ok(match &*self.kind {
            "header" => Line::Header(Box::new(self.header()?)),
            "mesh" => Line::Mesh(self.mesh()?),
            "device" => Line::Device(Device { chip: self.take("chip", self.chip)?, arch: self.arch()? }),
            "allocator" => Line::Allocator(self.allocator_definition()?),
            "cores" => Line::Cores(self.core_set()?),
            "text" => Line::Text(self.text()?),
            "stack" => Line::Stack(self.stack()?),
            "context" => Line::Context(Context {
                ctx: self.take("ctx", Some(self.ctx).filter(|ctx| *ctx != 0))?,
                op: self.op,
                stack: self.stack,
                test: self.test,
            }),
            "footer" => Line::Footer(self.footer()?),
            "recovery" => Line::Recovery(self.recovery()?),
            _ => match self.event()? {
                Some(event) => Line::Event(self.stamp()?, event),
                None => Line::Unknown(self.kind.into_owned()),
            },
        })
    }

    fn event(&self) -> Result<Option<Event>, LineError> {
        Ok(Some(match &*self.kind {
            "alloc" => Event::Alloc(self.alloc()?),
            "dealloc" => Event::Dealloc(self.dealloc()?),
            "retained" => Event::Retained {
                place: self.place()?,
                buffer_type: self.buffer_type()?,
                address: self.number("address", self.address)?,
                unique_id: self.unique_id.map(|id| id.0),
            },
            "cb_alloc" => Event::CbAlloc(self.cb_alloc()?),
            "cb_dealloc" => {
                Event::CbDealloc(CbDealloc { place: self.place().ok(), program: self.program_number() })
            }
            "program_run" => Event::ProgramRun {
                program: self.take("program", self.program_number())?,
                place: self.place()?,
            },
            "sweep" => Event::Sweep {
                allocator: self.number("allocator", self.allocator)?,
                cause: self.value_in("cause", &SweepCause::ALL, self.cause.as_deref())?,
            },
            "close" => Event::Close { place: self.place()? },
            "fork" => Event::Fork { token: self.number("token", self.token)? },
            "mark" => Event::Mark { name: self.name()? },
            "op_begin" => {
                Event::OpBegin { name: self.name()?, arguments: self.arguments.as_deref().map(str::to_owned) }
            }
            "op_end" => Event::OpEnd,
            "phase_begin" => Event::PhaseBegin { name: self.name()? },
            "phase_end" => Event::PhaseEnd,
            "kernel_load" => Event::KernelLoad(self.kernel()?),
            "kernel_unload" => Event::KernelUnload { place: self.place()?, program: self.program_number() },
            "trace_begin" => self.trace(TraceStep::Begin)?,
            "trace_end" => self.trace(TraceStep::End)?,
            "trace_release" => self.trace(TraceStep::Release)?,
            "failure" => Event::Failure(self.failure()?),
            "lost" => Event::Lost(Lost { dropped: self.number("dropped", self.dropped)? }),
            _ => return Ok(None),
        }))
    }

    fn stamp(&self) -> Result<Stamp, LineError> {
        Ok(Stamp {
            n: self.number("n", self.n)?,
            t_ns: self.number("t_ns", self.t_ns)?,
            tid: self.take("tid", self.tid)?,
            ctx: self.ctx,
        })
    }

    fn alloc(&self) -> Result<Alloc, LineError> {
        let layout = self.layout.as_deref().and_then(BufferLayout::from_name);
        Ok(Alloc {
            place: self.place()?,
            allocator: self.allocator.map(|number| number.0),
            buffer_type: self.buffer_type()?,
            layout: self.take("layout", layout)?,
            address: self.number("address", self.address)?,
            size_bytes: self.number("size_bytes", self.size_bytes)?,
            page_size_bytes: self.number("page_size_bytes", self.page_size_bytes)?,
            per_bank_bytes: self.number("per_bank_bytes", self.per_bank_bytes)?,
            n_cores: self.n_cores()?,
            cores: self.cores,
            unique_id: self.unique_id.map(|id| id.0),
            owns_data: self.owns_data,
            hooked: self.hooked,
        })
    }

    fn dealloc(&self) -> Result<Dealloc, LineError> {
        Ok(Dealloc {
            place: self.place()?,
            buffer_type: self.buffer_type.as_ref().map(|_| self.buffer_type()).transpose()?,
            address: self.number("address", self.address)?,
            size_bytes: self.size_bytes.map(|size| size.0),
            unique_id: self.unique_id.map(|id| id.0),
            hooked: self.hooked,
        })
    }

    fn cb_alloc(&self) -> Result<CbAlloc, LineError> {
        Ok(CbAlloc {
            place: self.place()?,
            program: self.program_number(),
            cores: self.take("cores", self.cores)?,
            address: self.number("address", self.address)?,
            size_bytes: self.number("size_bytes", self.size_bytes)?,
            globally_allocated: self.take("globally_allocated", self.globally_allocated)?,
        })
    }

    fn kernel(&self) -> Result<Kernel, LineError> {
        Ok(Kernel {
            place: self.place()?,
            kind: self.take("kernel", self.kernel.as_deref().and_then(KernelKind::from_name))?,
            program: self.program_number(),
            size_bytes: self.number("size_bytes", self.size_bytes)?,
            n_cores: self.number("n_cores", self.n_cores)?,
        })
    }

    fn trace(&self, step: TraceStep) -> Result<Event, LineError> {
        Ok(Event::Trace { step, place: self.place()?, trace: self.number("trace", self.trace)? })
    }

    fn failure(&self) -> Result<Failure, LineError> {
        let is_dataflow = match self.failure.as_deref() {
            Some("allocation") => return Ok(Failure::Allocation(self.request()?)),
            Some("circular_buffer_clash") => false,
            Some("dataflow_buffer_clash") => true,
            _ => return Err(self.missing("failure")),
        };
        Ok(Failure::Clash(Clash {
            place: self.place()?,
            is_dataflow,
            program: self.program_number(),
            message: self.message(),
        }))
    }

    fn request(&self) -> Result<Request, LineError> {
        let layout = self.layout.as_deref().and_then(BufferLayout::from_name);
        Ok(Request {
            place: self.place()?,
            allocator: self.allocator.map(|number| number.0),
            buffer_type: self.buffer_type()?,
            layout: self.take("layout", layout)?,
            size_bytes: self.number("size_bytes", self.size_bytes)?,
            page_size_bytes: self.number("page_size_bytes", self.page_size_bytes)?,
            per_bank_bytes: self.per_bank_bytes.map(|bytes| bytes.0),
            n_cores: self.n_cores()?,
            message: self.message(),
        })
    }

    fn message(&self) -> Option<String> {
        self.message.as_deref().map(str::to_owned)
    }

    fn header(mut self) -> Result<Header, LineError> {
        if self.schema.as_deref() != Some(SCHEMA) {
            return Err(self.missing("schema"));
        }
        let program = match &self.program {
            Some(ProgramField::Text(name)) => Some(name.to_string()),
            _ => None,
        };
        Ok(Header {
            version: self.take("version", self.version.as_deref().and_then(Version::parse))?,
            pid: self.take("pid", self.pid)?,
            process_start: self.number("process_start", self.process_start)?,
            rank: self.rank,
            program: self.take("program", program)?,
            t_ns: self.number("t_ns", self.t_ns)?,
            wall_ns: self.number("wall_ns", self.wall_ns)?,
            tool: self.tool.take().unwrap_or_default(),
            host: self.host.take().unwrap_or_default(),
            boot_id: self.boot_id.take().unwrap_or_default(),
            pid_namespace: self.pid_namespace.take().unwrap_or_default(),
            command: self.command.take().unwrap_or_default(),
            runtime: self.runtime.take().map(|r| Runtime { version: r.version, library: r.library }),
            stacks: self.settings.take().map_or_else(|| "none".to_owned(), |settings| settings.stacks),
            spool: self.spool.take(),
            parent: self.parent.take().map(|p| Parent { capture: p.capture, pid: p.pid, token: p.token.0 }),
        })
    }

    fn mesh(mut self) -> Result<Mesh, LineError> {
        let chips = self.chips.take();
        Ok(Mesh {
            mesh_id: self.take("mesh_id", self.mesh_id)?,
            chips: self.take("chips", chips)?,
            rows: self.take("rows", self.rows)?,
            cols: self.take("cols", self.cols)?,
            arch: self.arch()?,
        })
    }

    fn allocator_definition(&self) -> Result<Allocator, LineError> {
        let banks = self.banks.as_ref().and_then(|banks| banks.iter().map(BankFields::bank).collect());
        Ok(Allocator {
            allocator: self.number("allocator", self.allocator)?,
            mesh_id: self.take("mesh_id", self.mesh_id)?,
            bank_rounding_bytes: self.bank_rounding_bytes.map(|bytes| bytes.0),
            banks: self.take("banks", banks)?,
        })
    }

    fn core_set(&self) -> Result<Cores, LineError> {
        let range = |[x0, y0, x1, y1]: &[u32; 4]| Range { x0: *x0, y0: *y0, x1: *x1, y1: *y1 };
        let ranges = self.ranges.as_ref().map(|ranges| ranges.iter().map(range).collect());
        Ok(Cores { cores: self.take("cores", self.cores)?, ranges: self.take("ranges", ranges)? })
    }

    fn text(mut self) -> Result<Text, LineError> {
        let value = self.value.take();
        Ok(Text { text: self.take("text", self.text)?, value: self.take("value", value)? })
    }

    fn stack(&self) -> Result<Stack, LineError> {
        let frame =
            |[file, function, line]: &[u32; 3]| Frame { file: *file, function: *function, line: *line };
        let frames = self.frames.as_ref().map(|frames| frames.iter().map(frame).collect());
        Ok(Stack {
            stack: self.take("stack", self.stack)?,
            frames: self.take("frames", frames)?,
            is_cut: self.take("is_cut", self.is_cut)?,
        })
    }

    fn footer(&self) -> Result<Footer, LineError> {
        Ok(Footer {
            t_ns: self.number("t_ns", self.t_ns)?,
            recorded: self.number("recorded", self.recorded)?,
            dropped: self.number("dropped", self.dropped)?,
            ended: self.value_in("ended", &Ending::ALL, self.ended.as_deref())?,
        })
    }

    fn recovery(&self) -> Result<Recovery, LineError> {
        Ok(Recovery {
            recorded: self.number("recorded", self.recorded)?,
            recovered: self.number("recovered", self.recovered)?,
            dropped: self.number("dropped", self.dropped)?,
            unfinished: self.number("unfinished", self.unfinished)?,
            unreadable: self.number("unreadable", self.unreadable)?,
        })
    }

    fn place(&self) -> Result<Place, LineError> {
        let chip = self.chip.map(Place::Chip);
        self.take("mesh_id", self.mesh_id.map(Place::Mesh).or(chip))
    }

    fn buffer_type(&self) -> Result<BufferType, LineError> {
        self.take("type", self.buffer_type.as_deref().and_then(BufferType::from_name))
    }

    fn n_cores(&self) -> Result<Option<u32>, LineError> {
        let narrow = |n: Number| u32::try_from(n.0).map_err(|_| self.missing("n_cores"));
        self.n_cores.map(narrow).transpose()
    }

    fn program_number(&self) -> Option<u64> {
        match &self.program {
            Some(ProgramField::Number(number)) => Some(*number),
            Some(ProgramField::Text(digits)) => digits.parse().ok(),
            None => None,
        }
    }

    fn arch(&self) -> Result<String, LineError> {
        self.take("arch", self.arch.as_deref().map(str::to_owned))
    }

    fn name(&self) -> Result<String, LineError> {
        self.take("name", self.name.as_deref().map(str::to_owned))
    }

    fn value_in<T: Copy>(
        &self,
        field: &'static str,
        all: &[(T, &'static str)],
        name: Option<&str>,
    ) -> Result<T, LineError> {
        self.take(field, all.iter().find(|(_, known)| Some(*known) == name).map(|(value, _)| *value))
    }

    fn number(&self, field: &'static str, value: Option<Number>) -> Result<u64, LineError> {
        self.take(field, value.map(|number| number.0))
    }

    fn take<T>(&self, field: &'static str, value: Option<T>) -> Result<T, LineError> {
        value.ok_or_else(|| self.missing(field))
    }

    fn missing(&self, field: &'static str) -> LineError {
        LineError::Field { kind: self.kind.clone().into_owned(), field }
    }
}

impl BankFields<'_> {
    fn bank(&self) -> Option<Bank> {
        Some(Bank {
            buffer_type: BufferType::from_name(&self.buffer_type)?,
            n_banks: self.n_banks,
            bank_size_bytes: self.bank_size_bytes.0,
            base_address: self.base_address.map(|address| address.0),
        })
    }
}
