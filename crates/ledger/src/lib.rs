//! Pure accounting of device memory: the same events in the same order give the same figures, on any machine.
//!
//! [`Ledger::apply`] takes a capture's lines one by one; [`Ledger::snapshot`] shows what is live and every
//! total; [`Ledger::survivors`] holds what was not freed by the program. The crate knows no files, clocks,
//! threads or sockets, and nothing it is given can make it fail: what is odd becomes an [`Anomaly`].
//!
//! Reading order: `ledger` (an event comes in), `find` and `endings` (a buffer goes out), `place` and `chips`
//! (what is summed where), `tally`; then `alias` and `views`, and the rest as they are met.

#![forbid(unsafe_code)]

mod alias;
mod anomaly;
mod buffer;
mod checks;
mod chips;
mod circular;
mod class;
mod contexts;
mod cores;
mod earlier;
mod endings;
mod find;
mod fit;
mod growth;
mod headroom;
mod holes;
mod hooked;
mod l1;
mod ledger;
mod maps;
mod now;
mod ops;
mod owners;
mod place;
mod recent;
mod reclass;
mod references;
mod rules;
mod slots;
mod snapshot;
mod space;
mod tally;
mod views;

pub use anomaly::{Anomalies, Anomaly, Cause, What};
pub use buffer::{Buffer, Ended, Ending};
pub use circular::{CircularFootprint, Launch, Maker, Resident};
pub use class::Class;
pub use contexts::{CallSite, ContextId, Contexts};
pub use earlier::{LeftBehind, LeftBy, LeftByTests};
pub use fit::{Refusal, Verdict, Way};
pub use growth::{Alike, Fit, GroupTrend, Growth, Trend, TypeTrend};
pub use headroom::{Headroom, L1Bank, LeastHeadroom};
pub use holes::{Hole, Tightest};
pub use l1::{Basis, CoreGroup, L1Buffer, L1Map, L1Program, LaidOut, Residence, Unsized};
pub use ledger::{Conclusion, Effect, Ledger};
pub use maps::{AddressMap, Pin};
pub use now::Room;
pub use rules::{Rules, RulesError};
pub use snapshot::{Snapshot, Totals, TypeTotals, rank};
pub use tally::{ByClass, Gauge, Moment, Tally};
