//! NDJSON in bulk: requests of many lines, several at a time, one outcome a line.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use memchr::memmem;

use super::connection::Connection;
use super::run::{Bounds, Window, block_on};
use super::tally::Tally;

/// One bulk request.
#[derive(Clone, Debug)]
pub struct BulkRequest {
    /// Head and body.
    pub bytes: Vec<u8>,
    /// Lines of the body.
    pub lines: u64,
}

/// Sends the requests side by side, each on a connection of its own and again as soon as it is answered, and counts answered
/// lines. Their lines should carry no command ids, so that sending them again asks for something new. Latencies are those of
/// whole requests. Blocks.
///
/// # Errors
/// As [`closed`](super::closed); also when a request is not answered line by line.
pub fn bulk(address: SocketAddr, requests: &[BulkRequest], bounds: Bounds) -> anyhow::Result<Tally> {
    block_on(&bounds, async {
        let load = Load { window: Window::after(Instant::now(), &bounds), tally: RefCell::default() };
        let left = Cell::new(bounds.requests_max);
        let loops = requests.iter().map(async |request| {
            let mut connection = Connection::open(address).await?;
            while !load.window.is_over(Instant::now()) && left.get() >= request.lines {
                left.set(left.get() - request.lines);
                load.send(&mut connection, request).await?;
            }
            Ok::<_, anyhow::Error>(())
        });
        futures::future::try_join_all(loops).await?;
        Ok(load.end())
    })
}

/// Sends each request once, over so many connections. Blocks.
///
/// # Errors
/// As [`bulk`]; also when it takes longer than `limit`.
pub fn bulk_once(
    address: SocketAddr,
    connections: usize,
    requests: impl Iterator<Item = BulkRequest>,
    limit: Duration,
) -> anyhow::Result<Tally> {
    let bounds = Bounds { warm_up: Duration::ZERO, measure: limit, requests_max: u64::MAX };
    block_on(&bounds, async {
        let load = Load { window: Window::after(Instant::now(), &bounds), tally: RefCell::default() };
        let requests = RefCell::new(requests);
        let next = || requests.borrow_mut().next();
        let loops = (0..connections).map(async |_| {
            let mut connection = Connection::open(address).await?;
            while let Some(request) = next() {
                anyhow::ensure!(
                    !load.window.is_over(Instant::now()),
                    "not sent within {} s",
                    limit.as_secs()
                );
                load.send(&mut connection, &request).await?;
            }
            Ok(())
        });
        futures::future::try_join_all(loops).await?;
        Ok(load.end())
    })
}

struct Load {
    window: Window,
    tally: RefCell<Tally>,
}

impl Load {
    async fn send(&self, connection: &mut Connection, request: &BulkRequest) -> anyhow::Result<()> {
        let sent = Instant::now();
        let mut answered = 0;
        let status = connection
            .exchange_streaming(&request.bytes, |body| {
                let is_recorded = self.window.holds(Instant::now());
                answered += take_lines(body, |line| {
                    if is_recorded {
                        count(&mut self.tally.borrow_mut(), line);
                    }
                });
            })
            .await?;
        let lines = request.lines;
        anyhow::ensure!(
            (status, answered) == (200, lines),
            "{answered} of {lines} lines were answered (status {status})"
        );
        let now = Instant::now();
        if self.window.holds(now) {
            let mut tally = self.tally.borrow_mut();
            *tally.by_status.entry(status).or_default() += 1;
            tally.latency.record(now - sent);
            tally.service.record(now - sent);
        }
        Ok(())
    }

    fn end(self) -> Tally {
        let mut tally = self.tally.into_inner();
        self.window.close(&mut tally, Instant::now());
        tally
    }
}

/// Gives the complete lines to `each` and takes them out of the body; how many.
fn take_lines(body: &mut Vec<u8>, mut each: impl FnMut(&[u8])) -> u64 {
    let (mut from, mut lines) = (0, 0);
    for end in memchr::memchr_iter(b'\n', body) {
        each(&body[from..end]);
        from = end + 1;
        lines += 1;
    }
    body.drain(..from);
    lines
}

/// Counts an answered line by its outcome.
fn count(tally: &mut Tally, line: &[u8]) {
    // Answers are written by serde without blanks; reading them as JSON would take the server's processor.
    if memmem::find(line, br#""outcome":"accepted""#).is_some() {
        tally.accepted += 1;
    } else if memmem::find(line, br#""code":"overloaded""#).is_some() {
        tally.refused += 1;
    } else {
        tally.failed += 1;
        tally.note_failure(200, line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_count_once_they_are_complete() {
        let mut seen = Vec::new();
        let mut body = b"one\ntwo\nth".to_vec();
        let mut take = |body: &mut Vec<u8>| {
            take_lines(body, |line| seen.push(String::from_utf8_lossy(line).into_owned()))
        };
        assert_eq!(take(&mut body), 2);
        assert_eq!(body, b"th");
        body.extend_from_slice(b"ree\n");
        assert_eq!(take(&mut body), 1);
        assert_eq!(take(&mut body), 0);
        assert_eq!(seen, ["one", "two", "three"]);
    }

    #[test]
    fn only_accepted_outcomes_count_as_accepted() {
        let mut tally = Tally::default();
        for line in [
            r#"{"line":1,"command_id":"x","outcome":"accepted","stream":"stock/A","version":1}"#,
            r#"{"line":2,"outcome":"unchanged","version":1}"#,
            r#"{"line":3,"outcome":"rejected","problem":{"code":"insufficient_stock"}}"#,
            r#"{"line":4,"problem":{"code":"overloaded"}}"#,
        ] {
            count(&mut tally, line.as_bytes());
        }
        assert_eq!((tally.accepted, tally.refused, tally.failed), (1, 1, 2));
        assert!(tally.first_failure.unwrap().contains("unchanged"));
    }
}
