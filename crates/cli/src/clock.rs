//! The time of day, as captures and states hold it and as people read it.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Now, nanoseconds since 1970.
pub fn wall_ns() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The local time of day: `14:03:59`.
pub fn time_of_day(wall_ns: u64) -> String {
    let timestamp = Timestamp::from_nanosecond(i128::from(wall_ns)).unwrap_or_default();
    timestamp.to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string()
}
