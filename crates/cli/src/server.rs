//! The tracking server: one per host, for all recorded processes of a user or a group.
//!
//! A connection has a thread ([`listen`]); what a recorder tells goes through [`client`] into [`hub`], where each process
//! has a ledger of its own and the chips have their sums; whoever asks is answered by [`requests`].

pub mod ask;
mod board;
mod client;
mod frames;
#[cfg(test)]
mod fuzz;
mod http;
mod hub;
mod kernels;
mod legacy;
mod listen;
mod log;
mod metrics;
mod peer;
mod picture;
mod printer;
mod process;
mod requests;
pub mod texts;

use crate::args::Serve;
use crate::exit;
use hub::{Hub, Observer};
use legacy::Classic;
use listen::{Door, Place};
use log::Log;
use metrics::Metrics;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use printer::Printer;
use process::Protocol;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often processes whose connection ended are looked after: death is seen within a second.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// So many connections are taken before others are looked after.
const AT_ONCE: usize = 256;
/// More descriptors than this are not needed.
const MAX_FILES: u64 = 8192;

/// Serves until a signal or a request ends it.
pub fn run(args: &Serve) -> anyhow::Result<u8> {
    allow_many_files();
    let place = Place::choose(args.socket.as_deref(), args.group.as_deref());
    let socket = place.bind()?;
    let legacy = args.legacy.as_deref().map(|path| Place::choose(Some(path), args.group.as_deref()));
    let legacy = legacy.map(|place| place.bind()).transpose()?;
    let (printer, writer) = if args.quiet { (Printer::quiet(), None) } else { Printer::start() };
    let shown = args
        .legacy
        .iter()
        .fold(place.path.display().to_string(), |shown, legacy| format!("{shown} and {}", legacy.display()));
    let observer: Box<dyn Observer> = if args.classic {
        printer.print(legacy::started(&shown));
        Box::new(Classic::new(printer.clone()))
    } else {
        printer.print(format!("tt-memtrace {} listens at {shown}\n", env!("CARGO_PKG_VERSION")));
        Box::new(Log::new(printer.clone()))
    };
    let hub = Arc::new(Hub::new(place.path.display().to_string(), observer));
    if let Some(address) = args.metrics {
        let metrics = Metrics { hub: Arc::clone(&hub), has_pids: args.metrics_pids };
        let address = metrics.serve(address, args.metrics_public)?;
        printer.print(format!("metrics at http://{address}/metrics\n"));
    }
    let (mut stopped, stop) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM] {
        signal_hook::low_level::pipe::register(signal, stop.try_clone()?)?;
    }
    let stop = Arc::new(move || drop((&stop).write_all(b"x")));
    let door = Arc::new(Door::new(Arc::clone(&hub), place.group.is_some(), stop));
    let mut listeners = vec![(&socket.listener, Protocol::Native)];
    listeners.extend(legacy.iter().map(|socket| (&socket.listener, Protocol::Legacy)));
    listeners.iter().try_for_each(|(listener, _)| listener.set_nonblocking(true))?;
    let mut looked = Instant::now();
    let mut ticked = looked;
    loop {
        if wait(&listeners, &stopped)? {
            let _ = stopped.read(&mut [0; 16])?;
            break;
        }
        listeners.iter().for_each(|(listener, protocol)| admit(listener, *protocol, &door, &hub));
        if looked.elapsed() >= LOOK_EVERY {
            hub.look_after();
            looked = Instant::now();
        }
        if ticked.elapsed() >= Duration::from_secs(1) {
            hub.observer.tick(&hub);
            ticked = Instant::now();
        }
    }
    drop((socket, legacy));
    if args.classic {
        printer.print(legacy::stopped(&hub));
    } else {
        printer.log("ended");
    }
    printer.finish(writer);
    Ok(exit::OK)
}

/// Waits for a connection, no longer than until somebody is to be looked after. True if the server is to end.
fn wait(listeners: &[(&UnixListener, Protocol)], stopped: &UnixStream) -> io::Result<bool> {
    let listeners = listeners.iter().map(|(listener, _)| listener.as_fd());
    let wanted = std::iter::once(stopped.as_fd()).chain(listeners);
    let mut wanted: Vec<PollFd<'_>> = wanted.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    let timeout = PollTimeout::try_from(LOOK_EVERY).unwrap_or(PollTimeout::ZERO);
    match poll(&mut wanted, timeout) {
        Ok(_) => Ok(wanted[0].any().unwrap_or(false)),
        Err(Errno::EINTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Takes in those who wait at the door.
fn admit(listener: &UnixListener, protocol: Protocol, door: &Arc<Door>, hub: &Hub) {
    for _ in 0..AT_ONCE {
        match listener.accept() {
            Ok((stream, _)) => door.open(stream, protocol),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => {
                // Out of descriptors or memory: those who wait go on waiting.
                hub.observer.say(&format!("cannot take a connection: {}", exit::plain(&error)));
                return std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Each connection takes two descriptors, and the usual limit is little more than a thousand.
fn allow_many_files() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Without it fewer can connect, which is said when it happens.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most.min(MAX_FILES), most);
    }
}
