//! The recorder and the tracking server, both real: a server that is killed and started again under load disturbs no
//! program, and in the end its figures are what the programs hold. `KILLS` says how often.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod long;
mod support;

use long::tool;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Bench, library, program, skip};

const PATIENCE: Duration = Duration::from_secs(120);
const N_PROGRAMS: usize = 4;
const HELD: &str = "200";
const EVENTS_A_SECOND: &str = "5000";

/// The server; killed when it is dropped.
struct Server {
    child: Child,
    socket: PathBuf,
}

impl Server {
    fn start(socket: PathBuf) -> Self {
        let mut serve = Command::new(tool());
        let child = serve.args(["serve", "--quiet", "--socket"]).arg(&socket).spawn().unwrap();
        let this = Self { child, socket };
        wait_until("the server answers", || this.state().is_some());
        this
    }

    fn state(&self) -> Option<Value> {
        let mut ctl = Command::new(tool());
        let output = ctl.args(["ctl", "state", "--socket"]).arg(&self.socket).output().unwrap();
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Of a running process: buffers and bytes by memory type.
    fn memory_of(&self, pid: &Value) -> Option<Value> {
        let state = self.state()?;
        let is_its = |process: &&Value| process["pid"] == *pid && process["status"] == "running";
        let process = state["processes"].as_array()?.iter().find(is_its)?;
        let memory = process["memory"].as_array()?.iter();
        let named = memory
            .map(|of| (of["type"].as_str().unwrap().to_owned(), json!([of["n_buffers"], of["live_bytes"]])));
        Some(Value::Object(named.collect()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// `paced.c`.
struct Program {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Program {
    fn start(bench: &Bench, socket: &Path) -> Self {
        let run = bench.program("paced.c").args([HELD, EVENTS_A_SECOND]);
        let mut command = run.env("TT_MEMTRACE_SERVER", socket).into_command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, answers }
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Its end is that of a program that nobody watches.
    fn finish(mut self) {
        drop(self.child.stdin.take());
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((self.child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_server_killed_again_and_again_under_load_disturbs_no_program_and_is_right_in_the_end() {
    let n_kills = std::env::var("KILLS").map_or(3, |kills| kills.parse().unwrap());
    let bench = Bench::new();
    let mut server = Server::start(bench.path("socket"));
    let mut programs: Vec<Program> =
        (0..N_PROGRAMS).map(|_| Program::start(&bench, &server.socket)).collect();
    for program in &mut programs {
        assert_eq!(program.hear(), "ready");
        program.say("go");
    }
    for kill in 0..n_kills {
        let socket = server.socket.clone();
        drop(server);
        server = Server::start(socket);
        // Every other time the next kill comes while the programs are still telling what they hold.
        if kill % 2 == 0 {
            wait_until("all are back", || {
                server.state().is_some_and(|state| state["processes"].as_array().unwrap().len() == N_PROGRAMS)
            });
        }
    }
    programs.iter_mut().for_each(|program| program.say("stop"));
    let results: Vec<Value> =
        programs.iter_mut().map(|program| serde_json::from_str(&program.hear()).unwrap()).collect();
    for result in &results {
        assert_eq!(result["flush"], 0);
        let is_right = || server.memory_of(&result["pid"]).as_ref() == Some(&result["memory"]);
        wait_until(&format!("the server says {result}"), is_right);
    }
    programs.into_iter().for_each(Program::finish);
    wait_until("all have ended", || {
        let has_ended = |process: &Value| process["status"] == "exited";
        server.state().is_some_and(|state| state["processes"].as_array().unwrap().iter().all(has_ended))
    });
    for result in results {
        let path = bench.files().into_iter().find(|path| is_capture_of(path, &result["pid"])).unwrap();
        let footer = last_line(&path);
        assert_eq!((&footer["recorded"], &footer["dropped"]), (&result["n_events"], &json!(0)));
    }
}

/// A server for a group, `$3`, and of each user what they may: 4001 and 4002 are in the group, 4003 is not. Users of their
/// own and a `/run` of its own need root; the files are copied to where all may read them.
const OF_A_GROUP: &str = r#"
mount -t tmpfs -o mode=755 none /run && mkdir -m 755 /run/x && cp "$0" "$1" "$2" /run/x && chmod 755 /run/x/* || exit 9
cd /run/x && mkfifo go && gid=$(getent group "$3" | cut -d: -f3) || exit 9
as() { user=$1 group=$2; shift 2; setpriv --reuid="$user" --regid="$user" --groups "$group" --reset-env "$@"; }
recorded() { as "$@" env TT_ALLOC_TRACKING_ENABLED=1 TT_MEMTRACE_SERVER=1 LD_PRELOAD=/run/x/libtt_memtrace.so ./paced 3 1; }
waits() { n=0; until "$@" >/dev/null 2>&1; do n=$((n + 1)); [ "$n" -lt 3000 ] || exit 9; sleep 0.02; done; }
./tt-memtrace serve --quiet --group "$3" & server=$!
waits ./tt-memtrace ctl stats
recorded 4001 "$gid" <go >out & member=$!
exec 3>go
waits grep ready out
printf 'go\nstop\n' >both && recorded 4003 4003 <both >/dev/null 2>outsider; echo "program of an outsider: $?"
echo "no server for it: $(grep -c 'no tracking server' outsider)"
as 4002 "$gid" ./tt-memtrace ctl state
as 4003 4003 ./tt-memtrace ctl state; echo "asked by an outsider: $?"
as 4002 "$gid" ./tt-memtrace ctl shutdown; echo "ended by a member: $?"
cat both >&3; exec 3>&-
wait "$member"; echo "program of a member: $?"
./tt-memtrace ctl shutdown; wait "$server"; echo "server: $?"
"#;

#[test]
fn the_members_of_a_group_share_a_server_that_only_its_user_ends() {
    let bench = Bench::new();
    let run = bench.command("unshare").without("LD_PRELOAD").args(["-m", "sh", "-c", OF_A_GROUP]);
    let program = program("paced.c");
    let outcome = run.args([library(), &program, tool()]).args(["daemon"]).run();
    if outcome.stderr.starts_with("unshare") || outcome.stderr.starts_with("mount") {
        return skip("right to mount");
    }
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    let (states, said): (Vec<&str>, Vec<&str>) = lines.iter().partition(|line| line.starts_with('{'));
    let [state] = &states[..] else { panic!("{outcome:#?}") };
    let state: Value = serde_json::from_str(state).unwrap();
    let [process] = &state["processes"].as_array().unwrap()[..] else { panic!("{state}") };
    let held: u64 =
        process["memory"].as_array().unwrap().iter().map(|of| of["n_buffers"].as_u64().unwrap()).sum();
    assert_eq!((&process["program"], held), (&json!("paced"), 3));
    assert_eq!(
        said,
        [
            "program of an outsider: 0",
            "no server for it: 1",
            "asked by an outsider: 3",
            "ended by a member: 3",
            "program of a member: 0",
            "the server ends",
            "server: 0",
        ]
    );
}

fn is_capture_of(path: &Path, pid: &Value) -> bool {
    path.to_string_lossy().ends_with(&format!(".{pid}.jsonl"))
}

/// The captures of a hundred restarts are long.
fn last_line(path: &Path) -> Value {
    let mut file = File::open(path).unwrap();
    file.seek(SeekFrom::End(-1000)).unwrap();
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).unwrap();
    serde_json::from_str(String::from_utf8_lossy(&tail).lines().last().unwrap()).unwrap()
}
