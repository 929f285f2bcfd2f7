//! The live view: a picture, many times a second, of what the tracking server knows or what captures that are being
//! written tell.

mod captures;
mod glyphs;
mod history;
mod keys;
mod rows;
mod server;
mod source;
mod terminal;
mod view;

pub use glyphs::Glyphs;
pub use source::Source;
pub use terminal::show;
pub use view::View;
