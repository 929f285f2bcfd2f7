//! States of the tracking server.

use crate::server::ask::{Asker, Unreachable};
use crate::state::State;
use serde_json::{Value, json};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Intervals up to this are the server's business; in longer ones the connection would be taken for dead.
const LONGEST_FOLLOWED: Duration = Duration::from_secs(5);

/// A connection to the server.
pub struct Server(Asker);

impl Server {
    /// Connects to the socket that was named, else to that of this user, else to that which users share.
    pub fn connect(named: Option<&Path>) -> Result<Self, Unreachable> {
        match (Asker::find(named), named) {
            (Ok(asker), _) => Ok(Self(asker)),
            (Err(error), Some(_)) => Err(error),
            (Err(Unreachable(why)), None) => {
                Err(Unreachable(format!("{why}, or name a capture that is being written")))
            }
        }
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// What the server knows now.
    pub fn state(&mut self, top: usize) -> anyhow::Result<State> {
        self.0.request(&json!({"request": "state", "top": top}))?;
        self.answer()
    }

    /// Gives a state in each interval, as long as they are wanted.
    pub fn follow(
        &mut self,
        every: Duration,
        top: usize,
        mut show: impl FnMut(State) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        if every > LONGEST_FOLLOWED {
            while show(self.state(top)?)? {
                thread::sleep(every);
            }
            return Ok(());
        }
        let every_ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        self.0.request(&json!({"request": "follow", "every_ms": every_ms, "top": top}))?;
        while show(self.answer()?)? {}
        Ok(())
    }

    fn answer(&mut self) -> anyhow::Result<State> {
        let mut answer: Value = self.0.answer()?;
        let state = serde_json::from_value(answer["state"].take());
        Ok(state.map_err(|error| {
            Unreachable(format!("the server answers something else than a state: {error}"))
        })?)
    }
}
