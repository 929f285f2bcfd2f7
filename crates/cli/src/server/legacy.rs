//! The protocol and the texts of the earlier tracking server, for runtimes, monitors and log readers that know no
//! other. What such a client says becomes events of the ledger, as if our recorder had told them: [`events`] turns
//! records into events, [`session`] serves a connection, [`figures`] answers, and [`classic`] prints in the shapes of
//! [`texts`].

use crate::server::hub::Hub;

mod classic;
mod events;
mod figures;
mod session;
mod texts;

pub use classic::Classic;
pub use events::Refused;
pub use session::Legacy;

/// What of `ctl` is asked is answered in these texts, too.
pub use figures::{dump_kernels, dump_remaining, statistics};

/// What is printed at the start.
pub fn started(path: &str) -> String {
    texts::started(path) + "\n"
}

/// What is printed at the end.
pub fn stopped(hub: &Hub) -> String {
    format!("{}\n{}\n", statistics(hub), texts::stopped())
}
