//! Frames from a connection, in one buffer that grows no faster than bytes arrive.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use tt_memtrace_wire::frame::{FrameError, HEAD_BYTES, Kind, MAX_PAYLOAD, parse_head};

/// Room for a hello.
const FIRST_BYTES: usize = 4 << 10;
/// Room for the usual frames of a recorder, so that one read takes much.
const USUAL_BYTES: usize = 256 << 10;

/// What was received of a connection and not looked at yet.
pub struct Frames {
    buffer: Vec<u8>,
    /// The part that was received.
    filled: Range<usize>,
}

/// Why a connection gives no more frames.
#[derive(Debug)]
pub enum FramesError {
    /// Something arrived that is no frame.
    Frame(FrameError),
    /// The connection failed, or a deadline passed.
    Io(io::Error),
    /// It ended within a frame.
    Cut,
}

impl fmt::Display for FramesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::Io(error) => f.write_str(&crate::exit::plain(error)),
            Self::Cut => f.write_str("the connection ended within a frame"),
        }
    }
}

impl std::error::Error for FramesError {}

impl From<FrameError> for FramesError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl From<io::Error> for FramesError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Frames {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { buffer: Vec::new(), filled: 0..0 }
    }

    /// The next whole frame that has arrived: its kind, and where its payload is.
    pub fn next(&mut self) -> Result<Option<(Kind, Range<usize>)>, FrameError> {
        let Some(head) = self.buffer[self.filled.clone()].first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        let (kind, length) = parse_head(*head)?;
        let payload = self.filled.start + HEAD_BYTES..self.filled.start + HEAD_BYTES + length;
        if payload.end > self.filled.end {
            return Ok(None);
        }
        self.filled.start = payload.end;
        Ok(Some((kind, payload)))
    }

    /// The bytes of a payload, until more is received.
    pub fn payload(&self, at: Range<usize>) -> &[u8] {
        &self.buffer[at]
    }

    /// Receives more, once. False at the end of the connection.
    pub fn fill(&mut self, stream: &mut UnixStream) -> Result<bool, FramesError> {
        self.make_room();
        let n = loop {
            match stream.read(&mut self.buffer[self.filled.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.filled.end += n;
        if n == 0 && !self.filled.is_empty() { Err(FramesError::Cut) } else { Ok(n > 0) }
    }

    /// What has not been looked at moves to the front; a buffer that was full doubles.
    fn make_room(&mut self) {
        if self.filled.is_empty() {
            self.filled = 0..0;
        }
        if self.filled.end < self.buffer.len() {
            return;
        }
        if self.filled.start > 0 {
            self.buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        if self.filled.end == self.buffer.len() || self.buffer.len() < USUAL_BYTES {
            let bytes = (self.buffer.len() * 2).clamp(FIRST_BYTES, HEAD_BYTES + MAX_PAYLOAD);
            self.buffer.resize(bytes, 0);
        }
    }
}
