//! As much HTTP as a scraper needs: GET and HEAD of a few paths, one request for each connection. Whoever is slow, or
//! sends much, or comes often costs a bounded amount and is let go.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A request's head is no longer.
const MOST_BYTES: usize = 8 << 10;
/// It arrives within this time, and the answer is taken within the same.
const PATIENCE: Duration = Duration::from_secs(5);
/// So many are answered at once.
const AT_ONCE: usize = 16;
const STACK_BYTES: usize = 1 << 20;

/// What is found at a path.
pub struct Page {
    /// Its media type.
    pub media_type: &'static str,
    /// What is there.
    pub body: String,
}

/// Answers for ever, on threads of its own. With `is_local`, only who means this host by name or number: a web page
/// that a browser here shows cannot read it by giving this host another name.
pub fn serve(
    listener: TcpListener,
    is_local: bool,
    find: impl Fn(&str) -> Option<Page> + Send + Sync + 'static,
) -> io::Result<()> {
    let find = Arc::new(find);
    let n_open = Arc::new(AtomicUsize::new(0));
    let accept = move || {
        loop {
            let Ok((stream, _)) = listener.accept() else {
                // Out of descriptors: those who wait go on waiting.
                thread::sleep(Duration::from_millis(50));
                continue;
            };
            if n_open.load(Ordering::Relaxed) >= AT_ONCE {
                continue; // Dropped: the scraper comes again.
            }
            n_open.fetch_add(1, Ordering::Relaxed);
            let (find, open) = (Arc::clone(&find), Arc::clone(&n_open));
            let answer = move || {
                // The other side has gone, or was too slow.
                let _ = answer(stream, is_local, &*find);
                open.fetch_sub(1, Ordering::Relaxed);
            };
            let started = thread::Builder::new().name("http".into()).stack_size(STACK_BYTES).spawn(answer);
            if started.is_err() {
                n_open.fetch_sub(1, Ordering::Relaxed);
            }
        }
    };
    thread::Builder::new().name("http-accept".into()).spawn(accept).map(drop)
}

fn answer(mut stream: TcpStream, is_local: bool, find: &dyn Fn(&str) -> Option<Page>) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let Some(head) = receive(&mut stream)? else {
        return send(&mut stream, "400 Bad Request", text("not an HTTP request\n"), true);
    };
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_http = words.next().is_some_and(|version| version.starts_with("HTTP/1."));
    let path = target.split('?').next().unwrap_or_default();
    let (status, page) = match method {
        _ if !is_http => ("400 Bad Request", text("not an HTTP request\n")),
        _ if is_local && !names_this_host(&head) => ("421 Misdirected Request", text("unknown host\n")),
        "GET" | "HEAD" => match find(path) {
            Some(page) => ("200 OK", page),
            None => ("404 Not Found", text("there are /metrics and /state.json\n")),
        },
        _ => ("405 Method Not Allowed", text("only GET and HEAD\n")),
    };
    send(&mut stream, status, page, method != "HEAD")
}

/// The head of a request; none if it is too long or no text.
fn receive(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let deadline = Instant::now() + PATIENCE;
    let (mut head, mut part) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || head.len() > MOST_BYTES {
            return Ok(None);
        }
        stream.set_read_timeout(Some(left))?;
        let n = stream.read(&mut part)?;
        if n == 0 {
            return Ok(None);
        }
        head.extend_from_slice(&part[..n]);
    }
    Ok(String::from_utf8(head).ok())
}

/// Whether the host is given by number or as `localhost`; clients of old say nothing.
fn names_this_host(head: &str) -> bool {
    let headers = head.lines().filter_map(|line| line.split_once(':'));
    let mut hosts =
        headers.filter(|(name, _)| name.eq_ignore_ascii_case("host")).map(|(_, host)| host.trim());
    hosts.all(|host| {
        let without_port =
            host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        let name = without_port.map_or(host, |(name, _)| name).trim_matches(['[', ']']);
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
    })
}

fn text(body: &str) -> Page {
    Page { media_type: "text/plain; charset=utf-8", body: body.to_owned() }
}

fn send(stream: &mut TcpStream, status: &str, page: Page, has_body: bool) -> io::Result<()> {
    let (media_type, length) = (page.media_type, page.body.len());
    let mut answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    );
    if has_body {
        answer.push_str(&page.body);
    }
    stream.write_all(answer.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Shutdown;

    fn start(is_local: bool) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let find = |path: &str| (path == "/metrics").then(|| text("figures\n"));
        serve(listener, is_local, find).unwrap();
        address
    }

    fn ask(address: std::net::SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        let mut answer = String::new();
        // A connection is reset when more was sent than was read, or too many are open.
        let asked = stream.write_all(request).and_then(|()| stream.shutdown(Shutdown::Write));
        let _ = asked.and_then(|()| stream.read_to_string(&mut answer));
        answer
    }

    #[test]
    fn get_and_head_of_known_paths_are_answered_and_all_else_is_refused() {
        let address = start(true);
        for (request, status, end) in [
            ("GET /metrics HTTP/1.1\r\nHost: localhost:9000\r\n\r\n", "200", "\r\n\r\nfigures\n"),
            ("GET /metrics?x=1 HTTP/1.0\r\n\r\n", "200", "figures\n"),
            ("HEAD /metrics HTTP/1.1\r\nhost: [::1]:9000\r\n\r\n", "200", "close\r\n\r\n"),
            ("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", "421", "unknown host\n"),
            ("GET /other HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "404", "/state.json\n"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405", "only GET and HEAD\n"),
            ("junk\r\n\r\n", "400", "not an HTTP request\n"),
            ("GET /metrics", "400", "not an HTTP request\n"),
        ] {
            let answer = ask(address, request.as_bytes());
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.ends_with(end),
                "{request}: {answer}"
            );
        }
        let answer = ask(start(false), b"GET /metrics HTTP/1.1\r\nHost: board7.example\r\n\r\n");
        assert!(answer.ends_with("figures\n"), "{answer}");
    }

    #[test]
    fn an_endless_head_and_silent_clients_keep_nobody_out() {
        let address = start(true);
        let answer = ask(address, &vec![b'x'; MOST_BYTES * 4]);
        assert!(answer.is_empty() || answer.contains("400"), "{answer}");
        let silent: Vec<_> = (0..AT_ONCE * 2).map(|_| TcpStream::connect(address).unwrap()).collect();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if ask(address, b"GET /metrics HTTP/1.1\r\n\r\n").ends_with("figures\n") {
                break;
            }
            assert!(Instant::now() < deadline, "silent clients keep everybody out");
            thread::sleep(Duration::from_millis(100));
        }
        drop(silent);
    }
}
