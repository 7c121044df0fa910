//! NDJSON in bulk: requests of many lines, several at a time, one outcome a line.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::time::Instant;

use memchr::memmem;

use super::connection::Connection;
use super::run::{Bounds, Window, block_on};
use super::tally::Tally;

/// A bulk load: what each of its concurrent requests sends, over and over.
pub struct Bulk {
    /// One whole request (head and body) for each connection. The lines carry no command ids, so that sending them again
    /// asks for something new.
    pub requests: Vec<Vec<u8>>,
    /// Lines of each request.
    pub lines: u64,
}

/// Sends the requests side by side, each again as soon as it is answered, and counts answered lines. Latencies are those
/// of whole requests. Blocks.
///
/// # Errors
/// As [`closed`](super::closed); also when a request is not answered line by line.
pub fn bulk(address: SocketAddr, plan: &Bulk, bounds: Bounds) -> anyhow::Result<Tally> {
    block_on(&bounds, async {
        let window = Window::after(Instant::now(), &bounds);
        let (left, tally) = (Cell::new(bounds.requests_max), RefCell::new(Tally::default()));
        let loops = plan.requests.iter().map(async |request| {
            let mut connection = Connection::open(address).await?;
            let mut sent = Instant::now();
            while !window.is_over(sent) && left.get() >= plan.lines {
                left.set(left.get() - plan.lines);
                let mut answered = 0;
                let status = connection
                    .exchange_streaming(request, |body| {
                        let is_recorded = window.holds(Instant::now());
                        answered += take_lines(body, |line| {
                            if is_recorded {
                                count(&mut tally.borrow_mut(), line);
                            }
                        });
                    })
                    .await?;
                anyhow::ensure!(
                    (status, answered) == (200, plan.lines),
                    "{answered} of {} lines were answered (status {status})",
                    plan.lines
                );
                let now = Instant::now();
                if window.holds(now) {
                    let mut tally = tally.borrow_mut();
                    *tally.by_status.entry(status).or_default() += 1;
                    tally.latency.record(now - sent);
                    tally.service.record(now - sent);
                }
                sent = now;
            }
            Ok::<_, anyhow::Error>(())
        });
        futures::future::try_join_all(loops).await?;
        let mut tally = tally.into_inner();
        window.close(&mut tally, Instant::now());
        Ok(tally)
    })
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
