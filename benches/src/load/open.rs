//! Open loop: requests come when they come, not when the server is done with the last ones.
//!
//! Timers of tokio have steps of a millisecond, so an arrival is sent up to one late; its latency includes that. Spinning
//! instead would take the processor from the server.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::connection::Connection;
use super::requests::Requests;
use super::run::{Bounds, Window, block_on};
use super::schedule::{Schedule, Turn};
use super::tally::Tally;

/// An open loop.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    /// Arrivals per second.
    pub rate_per_s: f64,
    /// Requests that can be in flight; further arrivals queue.
    pub connections: usize,
    /// How long an arrival queues before it is given up.
    pub patience: Duration,
}

/// Asks at a fixed rate. Blocks.
///
/// # Errors
/// As [`closed`](super::closed).
pub fn open<R: Requests>(
    address: SocketAddr,
    plan: Open,
    bounds: Bounds,
    mut requests: impl FnMut(usize) -> R,
) -> anyhow::Result<Tally> {
    block_on(&bounds, async {
        let mut open = Vec::with_capacity(plan.connections);
        for index in 0..plan.connections {
            open.push((Connection::open(address).await?, requests(index)));
        }
        let count = ((bounds.warm_up + bounds.measure).as_secs_f64() * plan.rate_per_s) as u64;
        let count = count.min(bounds.requests_max);
        let begin = Instant::now();
        let load = Load {
            begin,
            window: Window::after(begin, &bounds),
            schedule: Mutex::new(Schedule::new(plan.rate_per_s, count, plan.patience)),
            tally: RefCell::default(),
        };
        let loops = open.into_iter().map(|(connection, requests)| load.ask(connection, requests));
        futures::future::try_join_all(loops).await?;
        let mut tally = load.tally.into_inner();
        load.window.close(&mut tally, Instant::now());
        Ok(tally)
    })
}

struct Load {
    begin: Instant,
    window: Window,
    /// Held by the one free connection that waits for the next arrival; the others wait for it.
    schedule: Mutex<Schedule>,
    tally: RefCell<Tally>,
}

impl Load {
    async fn ask(&self, mut connection: Connection, mut requests: impl Requests) -> anyhow::Result<()> {
        let mut buffer = Vec::new();
        while let Some(due) = self.next_due().await {
            if !requests.next(&mut buffer) {
                break;
            }
            let sent = Instant::now();
            let answer = connection.exchange(&buffer).await?;
            let now = Instant::now();
            let verdict = requests.judge(answer.0, answer.1);
            // By when it was due: what a stall keeps beyond the end belongs to the run all the same.
            if self.window.holds(due) {
                self.tally.borrow_mut().record(
                    answer,
                    verdict,
                    now.saturating_duration_since(due),
                    now - sent,
                );
            }
        }
        Ok(())
    }

    /// Waits for an arrival; when it was due.
    async fn next_due(&self) -> Option<Instant> {
        let mut schedule = self.schedule.lock().await;
        loop {
            let before = schedule.abandoned();
            let now = Instant::now();
            let turn = schedule.take(now - self.begin);
            if self.window.holds(now) {
                self.tally.borrow_mut().abandoned += schedule.abandoned() - before;
            }
            match turn {
                Turn::Send(due) => return Some(self.begin + due),
                Turn::Wait(until) => tokio::time::sleep_until((self.begin + until).into()).await,
                Turn::End => return None,
            }
        }
    }
}
