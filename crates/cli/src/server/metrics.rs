//! The state in the text format of Prometheus, version 0.0.4. `docs/metrics.md` lists the names.

use super::http::{self, Page};
use super::hub::Hub;
use super::picture;
use crate::exit::{self, Usage};
use crate::state::{Chip, Memory, Process, State};
use std::fmt::{Display, Write};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// So many of the largest buffers and of the newest notes are in `/state.json`.
const TOP: usize = 20;

/// What is given to whoever asks.
pub struct Metrics {
    /// What it is taken from.
    pub hub: Arc<Hub>,
    /// Whether processes are told apart.
    pub has_pids: bool,
}

impl Metrics {
    /// Serves the figures at this address, and gives the one that was taken. Other hosts get them only if
    /// `is_public`.
    pub fn serve(self, address: SocketAddr, is_public: bool) -> Result<SocketAddr, Usage> {
        let cannot = |error| cannot_listen(address, &error);
        let listener = bind(address, is_public)?;
        let address = listener.local_addr().map_err(cannot)?;
        http::serve(listener, !is_public, move |path| self.page(path)).map_err(cannot)?;
        Ok(address)
    }

    fn page(&self, path: &str) -> Option<Page> {
        match path {
            "/metrics" => {
                let body = text(&picture::state(&self.hub, 0), self.has_pids);
                Some(Page { media_type: MEDIA_TYPE, body })
            }
            "/state.json" => {
                let mut state = picture::state(&self.hub, TOP);
                if !self.has_pids {
                    (state.processes, state.holders, state.anomalies) = Default::default();
                }
                let body = serde_json::to_string(&state).ok()? + "\n";
                Some(Page { media_type: "application/json", body })
            }
            _ => None,
        }
    }
}

fn bind(address: SocketAddr, is_public: bool) -> Result<TcpListener, Usage> {
    if !address.ip().is_loopback() && !is_public {
        return Err(Usage(format!(
            "--metrics {address}: other hosts could read the figures; add --metrics-public if they may, or take 127.0.0.1"
        )));
    }
    TcpListener::bind(address).map_err(|error| cannot_listen(address, &error))
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> Usage {
    Usage(format!("--metrics {address}: cannot listen: {}", exit::plain(error)))
}

/// The whole state as metrics; with `has_pids` those of each process, too.
pub fn text(state: &State, has_pids: bool) -> String {
    let mut out = Text(String::new());
    out.chips(state);
    out.processes(state);
    if has_pids {
        out.each_process(state);
    }
    out.0
}

/// The name of a metric, what it is, and where it is taken from.
type Figure<T, N> = (&'static str, &'static str, fn(&T) -> N);

struct Text(String);

impl Text {
    fn chips(&mut self, state: &State) {
        let of_types: [Figure<Memory, Option<u64>>; 8] = [
            ("live_bytes", "Bytes that are allocated, without padding.", |memory| Some(memory.live_bytes)),
            ("peak_bytes", "The most bytes that were allocated at once.", |memory| Some(memory.peak_bytes)),
            (
                "peak_is_lower_bound",
                "1 if the peak may have been higher than tt_memtrace_peak_bytes.",
                |memory| Some(u64::from(memory.peak_basis == "lower_bound")),
            ),
            ("buffers", "Buffers that are allocated.", |memory| Some(memory.n_buffers)),
            ("capacity_bytes", "Bytes of all banks together.", Memory::capacity_bytes),
            ("bank_live_bytes", "Bytes that are taken in each bank.", |memory| Some(memory.bank_live_bytes)),
            ("bank_size_bytes", "Bytes of one bank.", |memory| memory.bank_size_bytes),
            ("bank_largest_hole_bytes", "The largest free range in a bank.", |memory| {
                memory.largest_hole_bytes
            }),
        ];
        for (name, help, of) in of_types {
            let memories =
                state.chips.iter().flat_map(|chip| chip.memory.iter().map(move |memory| (chip.chip, memory)));
            let samples = memories.filter_map(|(chip, memory)| {
                let labels = [("device", chip.to_string()), ("buffer_type", memory.buffer_type.clone())];
                Some((labels.to_vec(), of(memory)?))
            });
            self.metric(name, "gauge", help, samples);
        }
        let of_chips: [Figure<Chip, Option<u64>>; 3] = [
            (
                "l1_headroom_bytes",
                "Bytes between circular buffers and L1 buffers on the worst core.",
                |chip| chip.headroom_bytes,
            ),
            (
                "l1_circular_bytes",
                "Bytes up to the highest end of a circular buffer, on the worst core.",
                |chip| Some(chip.circular_bytes),
            ),
            ("device_processes", "Processes that use the device.", |chip| Some(chip.n_processes)),
        ];
        for (name, help, of) in of_chips {
            let sample = |chip: &Chip| Some((vec![("device", chip.chip.to_string())], of(chip)?));
            self.metric(name, "gauge", help, state.chips.iter().filter_map(sample));
        }
    }

    fn processes(&mut self, state: &State) {
        let statuses = ["running", "disconnected", "exited", "killed"];
        let count = |status: &str| state.processes.iter().filter(|process| process.status == status).count();
        let by_status = statuses.map(|status| (vec![("status", status.to_owned())], count(status)));
        self.metric("processes", "gauge", "Recorded processes that are known, by how they stand.", by_status);
        let anomalies =
            state.processes.iter().map(|process| process.n_anomalies).fold(0, u64::saturating_add);
        let help = "Things that do not add up, in the processes that are known.";
        self.metric("anomalies", "gauge", help, [(Vec::new(), anomalies)]);
        for (name, help, value) in [
            ("events_total", "Events of all processes.", state.n_events),
            ("events_dropped_total", "Events that processes had to drop.", state.n_dropped),
            ("events_skipped_total", "Events that were recorded while nobody listened.", state.n_skipped),
        ] {
            self.metric(name, "counter", help, [(Vec::new(), value)]);
        }
        let (seconds, thousandths) =
            (state.since_wall_ns / 1_000_000_000, state.since_wall_ns / 1_000_000 % 1000);
        let help = "When the server began, seconds since 1970.";
        self.metric(
            "start_time_seconds",
            "gauge",
            help,
            [(Vec::new(), format!("{seconds}.{thousandths:03}"))],
        );
    }

    fn each_process(&mut self, state: &State) {
        let of_types: [Figure<Memory, u64>; 2] = [
            ("process_live_bytes", "Bytes that a process holds on all its devices.", |memory| {
                memory.live_bytes
            }),
            ("process_peak_bytes", "The most bytes that a process held at once.", |memory| memory.peak_bytes),
        ];
        for (name, help, of) in of_types {
            let sample = |process: &Process, memory: &Memory| {
                let mut labels = labels_of(process);
                labels.push(("buffer_type", memory.buffer_type.clone()));
                (labels, of(memory))
            };
            let samples = state
                .processes
                .iter()
                .flat_map(|process| process.memory.iter().map(move |memory| sample(process, memory)));
            self.metric(name, "gauge", help, samples);
        }
        let events = state.processes.iter().map(|process| (labels_of(process), process.n_events));
        self.metric("process_events_total", "counter", "Events of a process.", events);
    }

    fn metric(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Vec<(&'static str, String)>, impl Display)>,
    ) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "# HELP tt_memtrace_{name} {help}\n# TYPE tt_memtrace_{name} {kind}\n");
        for (labels, value) in samples {
            let labels: Vec<String> =
                labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(self.0, "tt_memtrace_{name}{labels} {value}");
        }
    }
}

/// A pid may be used by two processes in different containers: the server's own number never is.
fn labels_of(process: &Process) -> Vec<(&'static str, String)> {
    vec![
        ("pid", process.pid.to_string()),
        ("process", process.id.to_string()),
        ("program", process.program.clone()),
    ]
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> State {
        let memory = Memory {
            buffer_type: "DRAM".into(),
            live_bytes: 300,
            peak_bytes: 500,
            peak_basis: "lower_bound".into(),
            n_buffers: 2,
            bank_live_bytes: 64,
            bank_size_bytes: Some(4096),
            n_banks: Some(12),
            largest_hole_bytes: None,
            ..Memory::default()
        };
        let process = |id, program: &str| Process {
            id,
            pid: 7,
            program: program.into(),
            status: "running".into(),
            n_events: 3,
            memory: vec![memory.clone()],
            ..Process::default()
        };
        State {
            since_wall_ns: 1_767_225_600_012_000_000,
            n_events: 6,
            processes: vec![process(1, "a\"b\\c\nd"), process(2, "p")],
            chips: vec![Chip {
                chip: 3,
                memory: vec![memory.clone()],
                headroom_bytes: Some(9),
                ..Chip::default()
            }],
            ..State::default()
        }
    }

    #[test]
    fn figures_have_labels_and_what_is_not_known_is_left_out() {
        let text = text(&sample(), false);
        for line in [
            "# TYPE tt_memtrace_live_bytes gauge",
            "tt_memtrace_live_bytes{device=\"3\",buffer_type=\"DRAM\"} 300",
            "tt_memtrace_peak_is_lower_bound{device=\"3\",buffer_type=\"DRAM\"} 1",
            "tt_memtrace_capacity_bytes{device=\"3\",buffer_type=\"DRAM\"} 49152",
            "tt_memtrace_l1_headroom_bytes{device=\"3\"} 9",
            "tt_memtrace_processes{status=\"running\"} 2",
            "tt_memtrace_events_total 6",
            "tt_memtrace_start_time_seconds 1767225600.012",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} in\n{text}");
        }
        assert!(!text.contains("hole_bytes{") && !text.contains("pid"), "{text}");
    }

    #[test]
    fn pids_are_told_only_if_asked_and_labels_are_escaped() {
        let text = text(&sample(), true);
        let line = "tt_memtrace_process_live_bytes{pid=\"7\",process=\"1\",program=\"a\\\"b\\\\c\\nd\",buffer_type=\"DRAM\"} 300";
        assert!(text.lines().any(|known| known == line), "{text}");
        let names: std::collections::BTreeSet<_> =
            text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            names.len(),
            text.lines().filter(|line| !line.starts_with('#')).count(),
            "a sample is there twice"
        );
    }

    #[test]
    fn the_page_on_metrics_lists_exactly_those_there_are() {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
        let page = std::fs::read_to_string(page).unwrap();
        let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        let listed: Vec<(String, String)> = page
            .lines()
            .filter(|line| line.starts_with("| `tt_memtrace_"))
            .map(|line| (cells(line)[1].trim_matches('`').to_owned(), cells(line)[2].clone()))
            .collect();
        let text = text(&sample(), true);
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let there: Vec<(String, String)> =
            types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
        assert_eq!(listed, there);
    }

    #[test]
    fn other_hosts_are_kept_out_unless_they_are_let_in() {
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let error = bind(everywhere, false).unwrap_err().to_string();
        assert!(error.contains("--metrics-public"), "{error}");
        assert!(bind(everywhere, true).is_ok());
        assert!(bind(SocketAddr::from(([127, 0, 0, 1], 0)), false).is_ok());
    }
}
