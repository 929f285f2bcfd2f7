//! Where states come from: the tracking server, or captures that are being written.

use super::captures::Captures;
use super::server::Server;
use crate::args;
use crate::state::State;
use std::time::{Duration, Instant};

/// Where states come from.
pub enum Source {
    /// Captures.
    Captures(Box<Captures>),
    /// The server.
    Server(Server),
}

impl Source {
    /// What the arguments name: a capture or a folder of them, else the server. Fails if there is none.
    pub fn open(args: &args::Live) -> anyhow::Result<Self> {
        match &args.capture {
            Some(path) => Ok(Self::Captures(Box::new(Captures::open(path)?))),
            None => Ok(Self::Server(Server::connect(args.socket.as_deref())?)),
        }
    }

    /// What is known now.
    pub fn state(&mut self, top: usize) -> anyhow::Result<State> {
        match self {
            Self::Captures(captures) => {
                while !captures.read()? {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(captures.state(top))
            }
            Self::Server(server) => Ok(server.state(top)?),
        }
    }

    /// Gives states, one in each interval, until nobody wants them any more; or until all processes ended.
    pub fn follow(
        &mut self,
        every: Duration,
        top: usize,
        mut show: impl FnMut(State) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Server(server) => server.follow(every, top, show),
            Self::Captures(captures) => {
                let mut due = Instant::now();
                loop {
                    let is_all = captures.read()?;
                    let is_due = Instant::now() >= due;
                    let is_over = is_all && captures.are_over();
                    if is_due || is_over {
                        due = Instant::now() + every;
                        if !show(captures.state(top))? || is_over {
                            return Ok(());
                        }
                    }
                    // Reading in turns, lines are in the cache when they are parsed.
                    if is_all {
                        std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    }
                }
            }
        }
    }
}
