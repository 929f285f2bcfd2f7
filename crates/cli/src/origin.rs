//! Where a buffer comes from: the operation, the program's own line and the test that allocated it.

use crate::render;
use serde_json::{Value, json};
use tt_memtrace_ledger::{Buffer, CallSite, ContextId, Contexts};
use tt_memtrace_wire::Place;

/// The most columns of an operation or a line in a table.
const WIDEST: usize = 28;

/// What is known of an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Origin<'a> {
    op: Option<&'a str>,
    line: Option<CallSite<'a>>,
    test: Option<&'a str>,
}

impl<'a> Origin<'a> {
    /// That of a context.
    pub fn of(contexts: &'a Contexts, context: Option<ContextId>) -> Self {
        let Some(context) = context else { return Self::default() };
        Self { op: contexts.op(context), line: contexts.line(context), test: contexts.test(context) }
    }

    /// That of a buffer.
    pub fn of_buffer(contexts: &'a Contexts, buffer: &Buffer) -> Self {
        Self::of(contexts, buffer.context)
    }

    /// The same in whichever test.
    pub fn in_any_test(self) -> Self {
        Self { test: None, ..self }
    }

    /// The operation's name.
    pub fn op(&self) -> Option<&'a str> {
        self.op
    }

    /// The program's own line.
    pub fn line(&self) -> Option<CallSite<'a>> {
        self.line
    }

    /// Whether anything is known.
    pub fn is_known(&self) -> bool {
        *self != Self::default()
    }

    /// For programs: three fields of a row.
    pub fn json(&self) -> Value {
        let line = self.line.map(|at| json!({"file": at.file, "line": at.line, "function": at.function}));
        json!({"op": self.op, "where": line, "test": self.test})
    }

    /// `by ttnn.add at model.py:12, in Model.forward`, as far as it is known.
    pub fn words(&self) -> Option<String> {
        let line = self.line.map(|at| format!("at {}, in {}", short(at), at.function));
        let parts: Vec<String> = self.op.map(|op| format!("by {op}")).into_iter().chain(line).collect();
        let test = self.test.map(|test| format!(", test {test}")).unwrap_or_default();
        (!parts.is_empty()).then(|| format!("{}{test}", parts.join(" ")))
    }

    /// The two cells under [`HEADS`].
    pub fn cells(&self) -> [String; 2] {
        let line = self.line.map(|at| short(at));
        [self.op.unwrap_or_default().to_owned(), line.unwrap_or_default()]
            .map(|cell| render::cut(&cell, WIDEST))
    }
}

/// The heads of the columns for an origin.
pub const HEADS: [&str; 2] = ["op", "line"];

/// The place, in the few columns that are left beside an origin.
pub fn place(place: Place) -> String {
    match place {
        Place::Mesh(mesh_id) => format!("mesh {mesh_id}"),
        Place::Chip(chip) => format!("chip {chip}"),
    }
}

/// The file's own name and the line.
pub fn short(at: CallSite<'_>) -> String {
    short_of(at.file, at.line)
}

/// The same from a path.
pub fn short_of(file: &str, line: u32) -> String {
    format!("{}:{line}", file.rsplit('/').next().unwrap_or(file))
}
