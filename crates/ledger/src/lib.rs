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
mod endings;
mod find;
mod hooked;
mod ledger;
mod place;
mod recent;
mod slots;
mod snapshot;
mod tally;
mod views;

pub use anomaly::{Anomalies, Anomaly, Cause, What};
pub use buffer::{Buffer, Ended, Ending};
pub use circular::{CircularFootprint, Resident};
pub use class::Class;
pub use ledger::{Conclusion, Effect, Ledger};
pub use snapshot::{Snapshot, Totals, TypeTotals};
pub use tally::{Gauge, Moment, Tally};
