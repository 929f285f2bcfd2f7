//! `recover`, and what every verb does with the capture of a killed process: whatever the files are that it names,
//! and however large.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

#[path = "../../wire/tests/image/mod.rs"]
mod image;
mod support;

use image::{Image, token};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Bench, Outcome, capture};
use tt_memtrace_wire::spool::{Journal, Layout, MAGIC, ORIGIN, OWNER, Origin, SHAPE};

/// Looking at a bad file takes no longer, on a starved machine either: what this stands for is minutes, or no end.
const AT_ONCE: Duration = Duration::from_secs(60);

/// The capture of a process that is gone, and its spool beside it, which is still to be made.
fn killed(bench: &Bench) -> (PathBuf, PathBuf) {
    let spool = bench.path("x.jsonl.spool");
    let capture = bench.write("x.jsonl", capture(gone(), &names(&spool), &[]));
    (capture, spool)
}

fn names(spool: &Path) -> String {
    format!(",\"spool\":\"{}\"", spool.display())
}

/// The pid of no process.
fn gone() -> u32 {
    0x7fff_fff0
}

/// A spool with so many events, of that process and that capture.
fn spool(capture: &Path, n_events: u64) -> Image {
    let mut image = Image::new(2);
    let owned = image.owned(0, 1);
    (0..n_events).for_each(|i| image.push(owned, 1_000_000 + i, token(i)));
    image.words[OWNER] = u64::from(gone());
    let length = std::fs::metadata(capture).map_or(0, |found| found.len());
    image.set_durable(Journal { capture_bytes: length, ..Journal::default() });
    let origin = Origin { process_start: 1, capture: bytes_of(capture), ..Origin::default() };
    image.set_origin(&origin);
    image
}

fn bytes_of(path: &Path) -> Vec<u8> {
    path.as_os_str().as_encoded_bytes().to_vec()
}

/// `recover` refuses at once with one line that names the file and the remedy; the other verbs say the same, and
/// read what is there; nothing is changed.
fn refuses(bench: &Bench, said: &str) {
    let before = std::fs::read(bench.path("x.jsonl")).unwrap();
    let files = bench.names();
    for (verb, code) in [("recover", 3), ("summary", 0)] {
        let started = Instant::now();
        let outcome = bench.run([verb, "x.jsonl"]);
        assert!(started.elapsed() < AT_ONCE, "{said}: {:?}", started.elapsed());
        assert_eq!((outcome.code, outcome.stderr.lines().count()), (code, 1), "{outcome:?}");
        assert!(outcome.stderr.starts_with("tt-memtrace: x.jsonl: cannot be completed: "), "{outcome:?}");
        assert!(outcome.stderr.contains(said), "{said} is not in {outcome:?}");
    }
    assert_eq!(std::fs::read(bench.path("x.jsonl")).unwrap(), before);
    assert_eq!(bench.names(), files);
}

#[test]
fn what_is_no_file_in_the_place_of_a_spool_is_named_and_left_alone() {
    let bench = Bench::new();
    let (_, spool) = killed(&bench);
    let shown =
        |what: &str| format!("{} is {what}, not a file, and is not touched: remove it", spool.display());

    std::fs::create_dir(&spool).unwrap();
    refuses(&bench, &shown("a directory"));
    std::fs::remove_dir(&spool).unwrap();

    for target in ["/dev/zero", "/etc/passwd", "no such file", "x.jsonl"] {
        symlink(target, &spool).unwrap();
        refuses(&bench, &shown("a symbolic link"));
        std::fs::remove_file(&spool).unwrap();
    }

    assert!(Command::new("mkfifo").arg(&spool).status().unwrap().success());
    refuses(&bench, &shown("a pipe"));
    std::fs::remove_file(&spool).unwrap();

    let socket = std::os::unix::net::UnixListener::bind(&spool).unwrap();
    refuses(&bench, &shown("a socket"));
    drop(socket);
}

#[test]
fn the_same_in_the_place_of_a_spill_file() {
    let bench = Bench::new();
    let (capture, path) = killed(&bench);
    let mut spool = spool(&capture, 3);
    spool.set_durable(Journal { spilled_bytes: 640, ..Journal::default() });
    std::fs::write(path, spool.bytes()).unwrap();
    let spill = bench.path("x.jsonl.spill");
    assert!(Command::new("mkfifo").arg(&spill).status().unwrap().success());
    refuses(&bench, &format!("{} is a pipe", spill.display()));
    std::fs::remove_file(&spill).unwrap();
    symlink("/dev/zero", &spill).unwrap();
    refuses(&bench, &format!("{} is a symbolic link", spill.display()));
    std::fs::remove_file(&spill).unwrap();
    refuses(
        &bench,
        &format!(
            "lacks the spill file that holds the events before its own: put that back as {}",
            spill.display()
        ),
    );
    std::fs::write(&spill, [0; 639]).unwrap();
    refuses(&bench, "lacks a part of its spill file, which has 639 bytes of 640: put that back as");
}

#[test]
fn a_file_that_is_no_whole_spool_is_named_and_left_alone() {
    let bench = Bench::new();
    let (capture, path) = killed(&bench);
    let whole = spool(&capture, 3);
    let with = |at: usize, word: u64| {
        let mut words = whole.words.clone();
        words[at] = word;
        words.into_iter().flat_map(u64::to_ne_bytes).collect::<Vec<_>>()
    };
    for (bytes, said) in [
        (b"dear diary, today".to_vec(), "is not a spool: it cannot be used any more"),
        (vec![7; 5], "is not a spool"),
        (vec![], "holds nothing, its process was killed while it made it"),
        (whole.bytes()[..4096].to_vec(), "is cut short"),
        (with(0, MAGIC + (1 << 56)), "is a spool of another version: use the tt-memtrace that recorded it"),
        (with(SHAPE, 0), "is not a spool"),
        (with(OWNER, 4711), "is the spool of another process, 4711: name the capture of that one"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        refuses(&bench, said);
    }

    let named = names(Path::new("/etc/passwd"));
    bench.write("x.jsonl", support::capture(gone(), &named, &[]));
    refuses(
        &bench,
        "/etc/passwd, which it names as its spool, has no name that a spool has, and is not touched",
    );
}

#[test]
fn a_sparse_file_of_a_terabyte_is_refused_at_once() {
    let bench = Bench::new();
    let (_, path) = killed(&bench);
    let file = File::create(&path).unwrap();
    if file.set_len(1 << 40).is_err() {
        return; // Larger than this file system can say: then there is no such file.
    }
    refuses(&bench, "holds nothing");
    let shape = Layout { n_segments: 1 << 14, n_slots: 1 << 20, n_small: 0 };
    file.write_all_at(&MAGIC.to_ne_bytes(), 0).unwrap();
    file.write_all_at(&shape.to_word().to_ne_bytes(), SHAPE as u64 * 8).unwrap();
    file.set_len(shape.total_words() as u64 * 8).unwrap();
    refuses(&bench, "is not a spool");
}

#[test]
fn another_users_spool_is_named_with_its_owner() {
    let bench = Bench::new();
    let (capture, path) = killed(&bench);
    std::fs::write(&path, spool(&capture, 3).bytes()).unwrap();
    if std::os::unix::fs::chown(&path, Some(4711), None).is_err() {
        return; // Only root can give files away; for others, `own_file.rs` tests the same with a file of root's.
    }
    refuses(
        &bench,
        &format!("{} belongs to user 4711: run `tt-memtrace recover` as that user", path.display()),
    );
}

#[test]
fn a_capture_that_was_cut_is_not_completed() {
    let bench = Bench::new();
    let (capture, path) = killed(&bench);
    let mut spool = spool(&capture, 3);
    spool.set_durable(Journal { capture_bytes: 100_000, ..Journal::default() });
    std::fs::write(path, spool.bytes()).unwrap();
    refuses(&bench, "continues it from 100000: it was cut or replaced, put it back");
}

#[test]
fn what_stands_behind_the_journal_is_replaced_whatever_its_length() {
    let torn = "{\"kind\":\"fork\",\"n\":1,\"t_";
    // The last one is of a process that was killed between its footer and the removal of its spool.
    for behind in ["", torn, &torn.repeat(1000), &format!("{}\n", support::FOOTER).repeat(9)] {
        let bench = Bench::new();
        let (capture, path) = killed(&bench);
        let header = std::fs::read_to_string(&capture).unwrap();
        std::fs::write(&path, spool(&capture, 2).bytes()).unwrap();
        std::fs::write(&capture, header.clone() + behind).unwrap();
        assert_eq!(bench.run(["recover", "x.jsonl"]).code, 0);
        let text = std::fs::read_to_string(&capture).unwrap();
        let lines: Vec<&str> = text.strip_prefix(&header).unwrap().lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[..2].iter().all(|line| line.starts_with("{\"kind\":\"fork\",")), "{text}");
        assert!(lines[2].starts_with("{\"kind\":\"recovery\",\"recorded\":2,"), "{text}");
    }
}

#[test]
fn a_spool_beside_a_capture_moves_with_it() {
    let bench = Bench::new();
    let (capture, path) = killed(&bench);
    std::fs::write(path, spool(&capture, 3).bytes()).unwrap();
    std::fs::create_dir(bench.path("d")).unwrap();
    for name in ["x.jsonl", "x.jsonl.spool"] {
        std::fs::rename(bench.path(name), bench.path("d").join(name)).unwrap();
    }
    let said = bench.run(["recover", "d"]);
    assert_eq!(said.stdout, "d/x.jsonl: the process was killed; recovered its last 3 events\n", "{said:?}");
    assert_eq!(std::fs::read_dir(bench.path("d")).unwrap().count(), 1);
}

#[test]
fn a_spool_stands_for_its_capture() {
    let bench = Bench::new();
    let (capture, path) = killed(&bench);
    std::fs::write(&path, spool(&capture, 3).bytes()).unwrap();
    let said = bench.run([Path::new("recover"), &path]);
    let wanted = format!("{}: the process was killed; recovered its last 3 events\n", capture.display());
    assert_eq!((said.code, said.stdout), (0, wanted), "{}", said.stderr);

    std::fs::write(&path, Image::new(1).bytes()).unwrap();
    let said = bench.run([Path::new("recover"), &path]);
    assert_eq!(said.code, 3);
    assert!(said.stderr.ends_with("its capture is not known: it does not say which\n"), "{said:?}");
}

#[test]
fn a_killed_process_whose_spool_is_gone_is_not_called_complete() {
    let bench = Bench::new();
    let (_, spool) = killed(&bench);
    let json = bench.json(&["recover", "--json", "x.jsonl"]);
    assert_eq!(json["processes"][0]["status"], "lost");
    let said = bench.run(["recover", "x.jsonl"]);
    assert!(said.stdout.starts_with("x.jsonl: its spool is gone, "), "{said:?}");
    bench.write("x.jsonl", support::capture(gone(), &names(&spool), &[support::FOOTER]));
    let json = bench.json(&["recover", "--json", "x.jsonl"]);
    assert_eq!(json["processes"][0]["status"], "complete");
}

#[test]
fn a_large_spill_file_is_recovered_in_little_memory() {
    const N_EVENTS: u64 = 2 << 20;
    let bench = Bench::new();
    let (capture, path) = killed(&bench);
    let mut spill = BufWriter::new(File::create(bench.path("x.jsonl.spill")).unwrap());
    let mut record = image::raw(&token(0), 0);
    for i in 0..N_EVENTS {
        record[..8].copy_from_slice(&i.to_ne_bytes());
        spill.write_all(&record).unwrap();
    }
    drop(spill.into_inner().unwrap());
    let mut spool = spool(&capture, 100);
    let capture_bytes = std::fs::metadata(&capture).unwrap().len();
    spool.set_durable(Journal { capture_bytes, spilled_bytes: N_EVENTS * 64, ..Journal::default() });
    std::fs::write(path, spool.bytes()).unwrap();

    // Half of what the file alone takes.
    let limited = format!("ulimit -v {}; exec \"$@\"", N_EVENTS * 64 / 1024 / 2);
    let mut command = Command::new("sh");
    command.args(["-c", &limited, "sh", env!("CARGO_BIN_EXE_tt-memtrace"), "recover"]).arg(&capture);
    let outcome = Outcome::of(command.output().unwrap());
    let wanted = format!("recovered its last {} events\n", N_EVENTS + 100);
    assert!(outcome.code == 0 && outcome.stdout.ends_with(&wanted), "{outcome:?}");
    assert_eq!(bench.names(), ["x.jsonl"]);
}

/// Runs `doctor` where `/dev/shm` is empty but for these files. `None` without the right to mount.
fn doctor(bench: &Bench, files: &[(&str, &[u8])], clean: bool) -> Option<(Vec<String>, Vec<String>)> {
    let shm = bench.path("shm");
    std::fs::create_dir_all(&shm).unwrap();
    for (name, bytes) in files {
        std::fs::write(shm.join(name), bytes).unwrap();
        let old = std::time::SystemTime::now() - Duration::from_secs(3600);
        File::options().write(true).open(shm.join(name)).unwrap().set_modified(old).unwrap();
    }
    let script = "mount --bind \"$0\" /dev/shm && exec \"$@\"";
    let mut command = bench.command();
    let this = env!("CARGO_BIN_EXE_tt-memtrace");
    let doctor = command.args(["doctor", "--json"]).args(clean.then_some("--clean"));
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(&shm).arg(this).args(doctor.get_args());
    let outcome = Outcome::of(command.current_dir(bench.path("")).output().unwrap());
    if outcome.stderr.contains("mount") || outcome.stderr.contains("unshare") {
        let _ = writeln!(std::io::stderr(), "skipped: no right to mount");
        return None;
    }
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap().iter().filter(|check| check["name"] == "spools");
    let said = checks
        .map(|check| format!("{} {}", check["status"].as_str().unwrap(), check["text"].as_str().unwrap()));
    let mut left: Vec<_> =
        std::fs::read_dir(&shm).unwrap().map(|file| support::name(&file.unwrap().path())).collect();
    left.sort();
    Some((said.collect(), left))
}

#[test]
fn doctor_finds_the_spools_of_killed_processes_and_cleans_only_what_holds_no_event() {
    let bench = Bench::new();
    let named = |pid: u32| format!("tt-memtrace-{pid}-1.spool");
    let in_shm = |name: &str| names(&Path::new("/dev/shm").join(name));
    let there = bench.write("there.jsonl", capture(gone(), &in_shm(&named(gone())), &[]));
    let other = bench.write("other.jsonl", capture(gone(), &in_shm("tt-memtrace-1-2.spool"), &[]));
    let (lost, empty, alive, unmade, foreign) = (
        named(gone() + 1),
        named(gone() + 2),
        named(std::process::id()),
        named(gone() + 3),
        named(gone() + 4),
    );
    let mut of_living = spool(&bench.path("missing.jsonl"), 2);
    of_living.words[OWNER] = u64::from(std::process::id());
    of_living.words[ORIGIN] = start_of_this_process();
    let mut reused = of_living.bytes();
    reused[ORIGIN * 8] ^= 1;
    let reused_name = format!("tt-memtrace-{}-2.spool", std::process::id());
    let files = [
        (&*named(gone()), &*spool(&there, 3).bytes()),
        (&*lost, &*spool(&bench.path("missing.jsonl"), 5).bytes()),
        (&*empty, &*spool(&other, 0).bytes()),
        (&*alive, &*of_living.bytes()),
        (&*reused_name, &*reused),
        (&*unmade, &[0; 4096]),
        (&*foreign, b"dear diary, today I saw a spool"),
        ("tt-memtrace-notes.spool", b"theirs"),
    ];
    let Some((said, left)) = doctor(&bench, &files, false) else { return };
    assert_eq!(left.len(), files.len());
    assert!(said.len() == 1 && said[0].starts_with("warn 6 of killed processes hold "), "{said:#?}");

    let (said, left) = doctor(&bench, &[], true).unwrap();
    let mut kept =
        vec![lost.clone(), alive, reused_name.clone(), foreign.clone(), "tt-memtrace-notes.spool".into()];
    kept.sort();
    assert_eq!(left, kept, "{said:#?}");
    let has = |part: &str| assert!(said.iter().any(|line| line.contains(part)), "{part} is not in {said:#?}");
    has(&format!("ok {}: the process was killed; recovered its last 3 events", there.display()));
    has(&format!("warn /dev/shm/{lost} holds 5 events for {}", bench.path("missing.jsonl").display()));
    has(&format!("warn /dev/shm/{reused_name} holds 2 events for "));
    has(&format!("ok removed /dev/shm/{empty}"));
    has(&format!("ok removed /dev/shm/{unmade}"));
    has(&format!("warn /dev/shm/{foreign} is not a spool"));
    assert_eq!(said.len(), 6);
    assert!(std::fs::read_to_string(&there).unwrap().ends_with("\"unreadable\":0}\n"));
    assert!(bench.path("other.jsonl").exists());
}

fn start_of_this_process() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(19).unwrap().parse().unwrap()
}
