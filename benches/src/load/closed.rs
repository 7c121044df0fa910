//! Closed loop: every connection asks again as soon as it is answered.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::time::Instant;

use super::connection::Connection;
use super::requests::Requests;
use super::run::{Bounds, Window, block_on};
use super::tally::Tally;

/// Asks over `connections` connections; `requests` makes the requests of each (from 0). Blocks.
///
/// # Errors
/// When a connection breaks, an answer is not HTTP, or answers don't come.
pub fn closed<R: Requests>(
    address: SocketAddr,
    connections: usize,
    bounds: Bounds,
    mut requests: impl FnMut(usize) -> R,
) -> anyhow::Result<Tally> {
    block_on(&bounds, async {
        let mut open = Vec::with_capacity(connections);
        for index in 0..connections {
            open.push((Connection::open(address).await?, requests(index)));
        }
        let window = Window::after(Instant::now(), &bounds);
        let (left, tally) = (Cell::new(bounds.requests_max), RefCell::new(Tally::default()));
        let loops =
            open.into_iter().map(|(connection, requests)| ask(connection, requests, &window, &left, &tally));
        futures::future::try_join_all(loops).await?;
        let mut tally = tally.into_inner();
        window.close(&mut tally, Instant::now());
        Ok(tally)
    })
}

async fn ask(
    mut connection: Connection,
    mut requests: impl Requests,
    window: &Window,
    left: &Cell<u64>,
    tally: &RefCell<Tally>,
) -> anyhow::Result<()> {
    let mut buffer = Vec::new();
    let mut sent = Instant::now();
    while !window.is_over(sent) && left.get() > 0 && requests.next(&mut buffer) {
        left.set(left.get() - 1);
        let answer = connection.exchange(&buffer).await?;
        let now = Instant::now();
        let verdict = requests.judge(answer.0, answer.1);
        if window.holds(now) {
            tally.borrow_mut().record(answer, verdict, now - sent, now - sent);
        }
        sent = now;
    }
    Ok(())
}
