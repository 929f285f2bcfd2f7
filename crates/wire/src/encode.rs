//! From values to JSON lines. The keys come in a fixed order, `kind` first, so that readers can look at the
//! first bytes and people can read a column.

use crate::SweepCause;
use crate::event::{
    Alloc, CbAlloc, CbDealloc, Clash, Dealloc, Event, Failure, Kernel, Place, Request, Stamp,
};
use crate::json::{Object, key};
use crate::line::{
    Allocator, Context, Cores, Device, Ending, Footer, Header, Line, Mesh, Recovery, Stack, Text,
};
use crate::version::SCHEMA;

pub(crate) fn line(line: &Line, out: &mut Vec<u8>) {
    match line {
        Line::Header(header) => header_line(header, out),
        Line::Mesh(mesh) => mesh_line(mesh, out),
        Line::Device(device) => device_line(device, out),
        Line::Allocator(allocator) => allocator_line(allocator, out),
        Line::Cores(cores) => cores_line(cores, out),
        Line::Text(text) => text_line(text, out),
        Line::Stack(stack) => stack_line(stack, out),
        Line::Context(context) => context_line(context, out),
        Line::Event(stamp, event) => event_line(*stamp, event, out),
        Line::Footer(footer) => footer_line(footer, out),
        Line::Recovery(recovery) => recovery_line(recovery, out),
        Line::Unknown(kind) => Object::of_kind(out, kind).end_line(),
    }
}

fn header_line(header: &Header, out: &mut Vec<u8>) {
    let mut o = Object::of_kind(out, "header");
    o.text(key!("schema"), SCHEMA);
    o.text(key!("version"), &header.version.to_string());
    o.text(key!("tool"), &header.tool);
    o.number(key!("pid"), u64::from(header.pid));
    o.number(key!("process_start"), header.process_start);
    o.text(key!("host"), &header.host);
    o.text(key!("boot_id"), &header.boot_id);
    o.text(key!("pid_namespace"), &header.pid_namespace);
    o.optional(key!("rank"), header.rank.map(u64::from));
    o.text(key!("program"), &header.program);
    o.list(key!("command"), &header.command, |o, word| o.put_text(word));
    o.number(key!("t_ns"), header.t_ns);
    o.number(key!("wall_ns"), header.wall_ns);
    o.object(key!("runtime"), header.runtime.as_ref(), |o, runtime| {
        o.optional_text(key!("version"), runtime.version.as_deref());
        o.text(key!("library"), &runtime.library);
    });
    o.object(key!("settings"), Some(header), |o, header| o.text(key!("stacks"), &header.stacks));
    o.optional_text(key!("spool"), header.spool.as_deref());
    o.object(key!("parent"), header.parent.as_ref(), |o, parent| {
        o.text(key!("capture"), &parent.capture);
        o.number(key!("pid"), u64::from(parent.pid));
        o.number(key!("token"), parent.token);
    });
    o.end_line();
}

fn mesh_line(mesh: &Mesh, out: &mut Vec<u8>) {
    let mut o = Object::of_kind(out, "mesh");
    o.number(key!("mesh_id"), u64::from(mesh.mesh_id));
    o.list(key!("chips"), &mesh.chips, |o, chip| o.put_number(u64::from(*chip)));
    o.number(key!("rows"), u64::from(mesh.rows));
    o.number(key!("cols"), u64::from(mesh.cols));
    o.text(key!("arch"), &mesh.arch);
    o.end_line();
}

fn device_line(device: &Device, out: &mut Vec<u8>) {
    let mut o = Object::of_kind(out, "device");
    o.number(key!("chip"), u64::from(device.chip));
    o.text(key!("arch"), &device.arch);
    o.end_line();
}

fn allocator_line(allocator: &Allocator, out: &mut Vec<u8>) {
    let mut o = Object::of_kind(out, "allocator");
    o.number(key!("allocator"), allocator.allocator);
    o.number(key!("mesh_id"), u64::from(allocator.mesh_id));
    o.optional(key!("bank_rounding_bytes"), allocator.bank_rounding_bytes);
    o.list(key!("banks"), &allocator.banks, |o, bank| {
        o.put_object(bank, |o, bank| {
            o.name(key!("type"), bank.buffer_type.name(), bank.buffer_type);
            o.number(key!("n_banks"), u64::from(bank.n_banks));
            o.number(key!("bank_size_bytes"), bank.bank_size_bytes);
            o.optional(key!("base_address"), bank.base_address);
        });
    });
    o.end_line();
}

fn cores_line(cores: &Cores, out: &mut Vec<u8>) {
    let mut o = Object::of_kind(out, "cores");
    o.number(key!("cores"), u64::from(cores.cores));
    o.list(key!("ranges"), &cores.ranges, |o, range| {
        o.put_numbers(&[range.x0, range.y0, range.x1, range.y1]);
    });
    o.end_line();
}

fn text_line(text: &Text, out: &mut Vec<u8>) {
    let mut o = Object::of_kind(out, "text");
    o.number(key!("text"), u64::from(text.text));
    o.text(key!("value"), &text.value);
    o.end_line();
}

fn stack_line(stack: &Stack, out: &mut Vec<u8>) {
    let mut o = Object::of_kind(out, "stack");
    o.number(key!("stack"), u64::from(stack.stack));
    o.list(key!("frames"), &stack.frames, |o, frame| {
        o.put_numbers(&[frame.file, frame.function, frame.line]);
    });
    o.flag(key!("is_cut"), stack.is_cut);
    o.end_line();
}

fn context_line(context: &Context, out: &mut Vec<u8>) {
    let mut o = Object::of_kind(out, "context");
    o.number(key!("ctx"), u64::from(context.ctx));
    o.optional(key!("op"), context.op.map(u64::from));
    o.optional(key!("stack"), context.stack.map(u64::from));
    o.optional(key!("test"), context.test.map(u64::from));
    o.end_line();
}

fn footer_line(footer: &Footer, out: &mut Vec<u8>) {
    let mut o = Object::of_kind(out, "footer");
    o.number(key!("t_ns"), footer.t_ns);
    o.number(key!("recorded"), footer.recorded);
    o.number(key!("dropped"), footer.dropped);
    o.word(key!("ended"), name_in(&Ending::ALL, footer.ended));
    o.end_line();
}

fn recovery_line(recovery: &Recovery, out: &mut Vec<u8>) {
    let mut o = Object::of_kind(out, "recovery");
    o.number(key!("recorded"), recovery.recorded);
    o.number(key!("recovered"), recovery.recovered);
    o.number(key!("dropped"), recovery.dropped);
    o.number(key!("unfinished"), recovery.unfinished);
    o.number(key!("unreadable"), recovery.unreadable);
    o.end_line();
}

fn event_line(stamp: Stamp, event: &Event, out: &mut Vec<u8>) {
    let mut o = Object::of_kind(out, event.kind());
    o.number(key!("n"), stamp.n);
    o.number(key!("t_ns"), stamp.t_ns);
    o.number(key!("tid"), u64::from(stamp.tid));
    o.number(key!("ctx"), u64::from(stamp.ctx));
    match event {
        Event::Alloc(alloc) => alloc_fields(&mut o, alloc),
        Event::Dealloc(dealloc) => dealloc_fields(&mut o, dealloc),
        Event::Retained { place, buffer_type, address, unique_id } => {
            o.place(Some(*place));
            o.name(key!("type"), buffer_type.name(), buffer_type);
            o.number(key!("address"), *address);
            o.optional(key!("unique_id"), *unique_id);
        }
        Event::CbAlloc(cb) => cb_alloc_fields(&mut o, cb),
        Event::CbDealloc(CbDealloc { place, program }) => {
            o.place(*place);
            o.optional(key!("program"), *program);
        }
        Event::KernelUnload { place, program } => {
            o.place(Some(*place));
            o.optional(key!("program"), *program);
        }
        Event::KernelLoad(kernel) => kernel_fields(&mut o, kernel),
        Event::Trace { place, trace, .. } => {
            o.place(Some(*place));
            o.number(key!("trace"), *trace);
        }
        Event::ProgramRun { program, place } => {
            o.place(Some(*place));
            o.number(key!("program"), *program);
        }
        Event::Sweep { allocator, cause } => {
            o.number(key!("allocator"), *allocator);
            o.word(key!("cause"), name_in(&SweepCause::ALL, *cause));
        }
        Event::Close { place } => o.place(Some(*place)),
        Event::Fork { token } => o.number(key!("token"), *token),
        Event::Mark { name } | Event::PhaseBegin { name } => o.text(key!("name"), name),
        Event::OpBegin { name, arguments } => {
            o.text(key!("name"), name);
            if let Some(arguments) = arguments {
                o.text(key!("arguments"), arguments);
            }
        }
        Event::OpEnd | Event::PhaseEnd => {}
        Event::Failure(failure) => failure_fields(&mut o, failure),
        Event::Lost(lost) => o.number(key!("dropped"), lost.dropped),
    }
    o.end_line();
}

fn alloc_fields(o: &mut Object<'_>, alloc: &Alloc) {
    o.place(Some(alloc.place));
    o.optional(key!("allocator"), alloc.allocator);
    o.name(key!("type"), alloc.buffer_type.name(), alloc.buffer_type);
    o.name(key!("layout"), alloc.layout.name(), alloc.layout);
    o.number(key!("address"), alloc.address);
    o.number(key!("size_bytes"), alloc.size_bytes);
    o.number(key!("page_size_bytes"), alloc.page_size_bytes);
    o.number(key!("per_bank_bytes"), alloc.per_bank_bytes);
    o.optional(key!("n_cores"), alloc.n_cores.map(u64::from));
    if let Some(cores) = alloc.cores {
        o.number(key!("cores"), cores.into());
    }
    o.optional(key!("unique_id"), alloc.unique_id);
    o.optional_flag(key!("owns_data"), alloc.owns_data);
    if alloc.hooked {
        o.flag(key!("hooked"), true);
    }
}

fn dealloc_fields(o: &mut Object<'_>, dealloc: &Dealloc) {
    o.place(Some(dealloc.place));
    match dealloc.buffer_type {
        Some(buffer_type) => o.name(key!("type"), buffer_type.name(), buffer_type),
        None => o.optional_text(key!("type"), None),
    }
    o.number(key!("address"), dealloc.address);
    o.optional(key!("size_bytes"), dealloc.size_bytes);
    o.optional(key!("unique_id"), dealloc.unique_id);
    if dealloc.hooked {
        o.flag(key!("hooked"), true);
    }
}

fn cb_alloc_fields(o: &mut Object<'_>, cb: &CbAlloc) {
    o.place(Some(cb.place));
    o.optional(key!("program"), cb.program);
    o.number(key!("cores"), u64::from(cb.cores));
    o.number(key!("address"), cb.address);
    o.number(key!("size_bytes"), cb.size_bytes);
    o.flag(key!("globally_allocated"), cb.globally_allocated);
}

fn kernel_fields(o: &mut Object<'_>, kernel: &Kernel) {
    o.place(Some(kernel.place));
    o.name(key!("kernel"), kernel.kind.name(), kernel.kind);
    o.optional(key!("program"), kernel.program);
    o.number(key!("size_bytes"), kernel.size_bytes);
    o.number(key!("n_cores"), kernel.n_cores);
}

fn failure_fields(o: &mut Object<'_>, failure: &Failure) {
    o.text(key!("failure"), failure.name());
    o.place(Some(failure.place()));
    match failure {
        Failure::Allocation(request) => request_fields(o, request),
        Failure::Clash(Clash { program, .. }) => o.optional(key!("program"), *program),
    }
    o.optional_text(key!("message"), failure.message());
}

fn request_fields(o: &mut Object<'_>, request: &Request) {
    o.optional(key!("allocator"), request.allocator);
    o.name(key!("type"), request.buffer_type.name(), request.buffer_type);
    o.name(key!("layout"), request.layout.name(), request.layout);
    o.number(key!("size_bytes"), request.size_bytes);
    o.number(key!("page_size_bytes"), request.page_size_bytes);
    o.optional(key!("per_bank_bytes"), request.per_bank_bytes);
    o.optional(key!("n_cores"), request.n_cores.map(u64::from));
}

fn name_in<T: PartialEq>(all: &[(T, &'static str)], value: T) -> &'static str {
    all.iter().find(|(known, _)| *known == value).map_or("", |(_, name)| name)
}

impl Object<'_> {
    /// A place is one of two keys; the other is left out.
    fn place(&mut self, place: Option<Place>) {
        match place {
            Some(Place::Mesh(mesh_id)) => self.number(key!("mesh_id"), u64::from(mesh_id)),
            Some(Place::Chip(chip)) => self.number(key!("chip"), u64::from(chip)),
            None => {}
        }
    }
}
