//! From values to JSON lines. The keys come in a fixed order, `kind` first, so that readers can look at the
//! first bytes and people can read a column.

use crate::SweepCause;
use crate::event::{
    Alloc, CbAlloc, CbDealloc, Clash, Dealloc, Event, Failure, Kernel, Place, Request, Stamp,
};
use crate::json::Object;
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
    o.text("schema", SCHEMA);
    o.text("version", &header.version.to_string());
    o.text("tool", &header.tool);
    o.number("pid", u64::from(header.pid));
    o.number("process_start", header.process_start);
    o.text("host", &header.host);
    o.text("boot_id", &header.boot_id);
    o.text("pid_namespace", &header.pid_namespace);
    o.optional("rank", header.rank.map(u64::from));
    o.text("program", &header.program);
    o.list("command", &header.command, |o, word| o.put_text(word));
    o.number("t_ns", header.t_ns);
    o.number("wall_ns", header.wall_ns);
    o.object("runtime", header.runtime.as_ref(), |o, runtime| {
        o.optional_text("version", runtime.version.as_deref());
        o.text("library", &runtime.library);
    });
    o.object("settings", Some(header), |o, header| o.text("stacks", &header.stacks));
    o.optional_text("spool", header.spool.as_deref());
    o.object("parent", header.parent.as_ref(), |o, parent| {
        o.text("capture", &parent.capture);
        o.number("pid", u64::from(parent.pid));
        o.number("token", parent.token);
    });
    o.end_line();
}

fn mesh_line(mesh: &Mesh, out: &mut Vec<u8>) {
    let mut o = Object::of_kind(out, "mesh");
    o.number("mesh_id", u64::from(mesh.mesh_id));
    o.list("chips", &mesh.chips, |o, chip| o.put_number(u64::from(*chip)));
    o.number("rows", u64::from(mesh.rows));
    o.number("cols", u64::from(mesh.cols));
    o.text("arch", &mesh.arch);
    o.end_line();
}

fn device_line(device: &Device, out: &mut Vec<u8>) {
    let mut o = Object::of_kind(out, "device");
    o.number("chip", u64::from(device.chip));
    o.text("arch", &device.arch);
    o.end_line();
}

fn allocator_line(allocator: &Allocator, out: &mut Vec<u8>) {
    let mut o = Object::of_kind(out, "allocator");
    o.number("allocator", allocator.allocator);
    o.number("mesh_id", u64::from(allocator.mesh_id));
    o.optional("bank_rounding_bytes", allocator.bank_rounding_bytes);
    o.list("banks", &allocator.banks, |o, bank| {
        o.put_object(bank, |o, bank| {
            o.name("type", bank.buffer_type.name(), bank.buffer_type);
            o.number("n_banks", u64::from(bank.n_banks));
            o.number("bank_size_bytes", bank.bank_size_bytes);
            o.optional("base_address", bank.base_address);
        });
    });
    o.end_line();
}

fn cores_line(cores: &Cores, out: &mut Vec<u8>) {
    let mut o = Object::of_kind(out, "cores");
    o.number("cores", u64::from(cores.cores));
    o.list("ranges", &cores.ranges, |o, range| {
        o.put_list(&[range.x0, range.y0, range.x1, range.y1], |o, at| o.put_number(u64::from(*at)));
    });
    o.end_line();
}

fn text_line(text: &Text, out: &mut Vec<u8>) {
    let mut o = Object::of_kind(out, "text");
    o.number("text", u64::from(text.text));
    o.text("value", &text.value);
    o.end_line();
}

fn stack_line(stack: &Stack, out: &mut Vec<u8>) {
    let mut o = Object::of_kind(out, "stack");
    o.number("stack", u64::from(stack.stack));
    o.list("frames", &stack.frames, |o, frame| {
        o.put_list(&[frame.file, frame.function, frame.line], |o, at| o.put_number(u64::from(*at)));
    });
    o.flag("is_cut", stack.is_cut);
    o.end_line();
}

fn context_line(context: &Context, out: &mut Vec<u8>) {
    let mut o = Object::of_kind(out, "context");
    o.number("ctx", u64::from(context.ctx));
    o.optional("op", context.op.map(u64::from));
    o.optional("stack", context.stack.map(u64::from));
    o.optional("test", context.test.map(u64::from));
    o.end_line();
}

fn footer_line(footer: &Footer, out: &mut Vec<u8>) {
    let mut o = Object::of_kind(out, "footer");
    o.number("t_ns", footer.t_ns);
    o.number("recorded", footer.recorded);
    o.number("dropped", footer.dropped);
    o.text("ended", name_in(&Ending::ALL, footer.ended));
    o.end_line();
}

fn recovery_line(recovery: &Recovery, out: &mut Vec<u8>) {
    let mut o = Object::of_kind(out, "recovery");
    o.number("recorded", recovery.recorded);
    o.number("recovered", recovery.recovered);
    o.number("dropped", recovery.dropped);
    o.number("unfinished", recovery.unfinished);
    o.number("unreadable", recovery.unreadable);
    o.end_line();
}

fn event_line(stamp: Stamp, event: &Event, out: &mut Vec<u8>) {
    let mut o = Object::of_kind(out, event.kind());
    o.number("n", stamp.n);
    o.number("t_ns", stamp.t_ns);
    o.number("tid", u64::from(stamp.tid));
    o.number("ctx", u64::from(stamp.ctx));
    match event {
        Event::Alloc(alloc) => alloc_fields(&mut o, alloc),
        Event::Dealloc(dealloc) => dealloc_fields(&mut o, dealloc),
        Event::Retained { place, buffer_type, address, unique_id } => {
            o.place(Some(*place));
            o.name("type", buffer_type.name(), buffer_type);
            o.number("address", *address);
            o.optional("unique_id", *unique_id);
        }
        Event::CbAlloc(cb) => cb_alloc_fields(&mut o, cb),
        Event::CbDealloc(CbDealloc { place, program }) => {
            o.place(*place);
            o.optional("program", *program);
        }
        Event::KernelUnload { place, program } => {
            o.place(Some(*place));
            o.optional("program", *program);
        }
        Event::KernelLoad(kernel) => kernel_fields(&mut o, kernel),
        Event::Trace { place, trace, .. } => {
            o.place(Some(*place));
            o.number("trace", *trace);
        }
        Event::ProgramRun { program, place } => {
            o.place(Some(*place));
            o.number("program", *program);
        }
        Event::Sweep { allocator, cause } => {
            o.number("allocator", *allocator);
            o.text("cause", name_in(&SweepCause::ALL, *cause));
        }
        Event::Close { place } => o.place(Some(*place)),
        Event::Fork { token } => o.number("token", *token),
        Event::Mark { name } | Event::PhaseBegin { name } => o.text("name", name),
        Event::OpBegin { name, arguments } => {
            o.text("name", name);
            if let Some(arguments) = arguments {
                o.text("arguments", arguments);
            }
        }
        Event::OpEnd | Event::PhaseEnd => {}
        Event::Failure(failure) => failure_fields(&mut o, failure),
        Event::Lost(lost) => o.number("dropped", lost.dropped),
    }
    o.end_line();
}

fn alloc_fields(o: &mut Object<'_>, alloc: &Alloc) {
    o.place(Some(alloc.place));
    o.optional("allocator", alloc.allocator);
    o.name("type", alloc.buffer_type.name(), alloc.buffer_type);
    o.name("layout", alloc.layout.name(), alloc.layout);
    o.number("address", alloc.address);
    o.number("size_bytes", alloc.size_bytes);
    o.number("page_size_bytes", alloc.page_size_bytes);
    o.number("per_bank_bytes", alloc.per_bank_bytes);
    o.optional("n_cores", alloc.n_cores.map(u64::from));
    if let Some(cores) = alloc.cores {
        o.number("cores", cores.into());
    }
    o.optional("unique_id", alloc.unique_id);
    o.optional_flag("owns_data", alloc.owns_data);
    if alloc.hooked {
        o.flag("hooked", true);
    }
}

fn dealloc_fields(o: &mut Object<'_>, dealloc: &Dealloc) {
    o.place(Some(dealloc.place));
    match dealloc.buffer_type {
        Some(buffer_type) => o.name("type", buffer_type.name(), buffer_type),
        None => o.optional_text("type", None),
    }
    o.number("address", dealloc.address);
    o.optional("size_bytes", dealloc.size_bytes);
    o.optional("unique_id", dealloc.unique_id);
    if dealloc.hooked {
        o.flag("hooked", true);
    }
}

fn cb_alloc_fields(o: &mut Object<'_>, cb: &CbAlloc) {
    o.place(Some(cb.place));
    o.optional("program", cb.program);
    o.number("cores", u64::from(cb.cores));
    o.number("address", cb.address);
    o.number("size_bytes", cb.size_bytes);
    o.flag("globally_allocated", cb.globally_allocated);
}

fn kernel_fields(o: &mut Object<'_>, kernel: &Kernel) {
    o.place(Some(kernel.place));
    o.name("kernel", kernel.kind.name(), kernel.kind);
    o.optional("program", kernel.program);
    o.number("size_bytes", kernel.size_bytes);
    o.number("n_cores", kernel.n_cores);
}

fn failure_fields(o: &mut Object<'_>, failure: &Failure) {
    o.text("failure", failure.name());
    o.place(Some(failure.place()));
    match failure {
        Failure::Allocation(request) => request_fields(o, request),
        Failure::Clash(Clash { program, .. }) => o.optional("program", *program),
    }
    o.optional_text("message", failure.message());
}

fn request_fields(o: &mut Object<'_>, request: &Request) {
    o.optional("allocator", request.allocator);
    o.name("type", request.buffer_type.name(), request.buffer_type);
    o.name("layout", request.layout.name(), request.layout);
    o.number("size_bytes", request.size_bytes);
    o.number("page_size_bytes", request.page_size_bytes);
    o.optional("per_bank_bytes", request.per_bank_bytes);
    o.optional("n_cores", request.n_cores.map(u64::from));
}

fn name_in<T: PartialEq>(all: &[(T, &'static str)], value: T) -> &'static str {
    all.iter().find(|(known, _)| *known == value).map_or("", |(_, name)| name)
}

impl Object<'_> {
    /// A place is one of two keys; the other is left out.
    fn place(&mut self, place: Option<Place>) {
        match place {
            Some(Place::Mesh(mesh_id)) => self.number("mesh_id", u64::from(mesh_id)),
            Some(Place::Chip(chip)) => self.number("chip", u64::from(chip)),
            None => {}
        }
    }
}
