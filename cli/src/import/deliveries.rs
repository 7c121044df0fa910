//! Orders from placed to their end: how many may be open, and which are still to be delivered.
//!
//! An order's stock has to be reserved within a time limit that counts from its recording (a minute by default). So an
//! import places no more orders than the process managers work off in a fraction of it. How many that is depends on
//! the machine and the log: [`Room`] begins with few and grows and shrinks by how long orders take.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream;
use schemas::OrderId;
use schemas::order::OrderStatus;
use tokio::sync::Semaphore;

use super::client::{Client, Failure, OrderState};
use super::progress::Phase;
use crate::report::hinted;

/// Orders asked after in one round: the oldest, which are done first.
const ASKED_MAX: usize = 64;
/// Questions under way at the same time.
const QUESTIONS_MAX: usize = 8;
/// Pause after a round in which most of the orders asked after were still open.
const PAUSE: Duration = Duration::from_millis(50);
/// How many orders a message names.
const NAMED_MAX: usize = 5;
/// How many cancelled orders are kept for the report.
const CANCELLED_KEPT_MAX: usize = 20;

/// The orders of one import on their way.
pub(super) struct Deliveries<'a> {
    client: &'a Client,
    phase: &'a Phase,
    /// Free places for orders; how many there are in all is the state's [`Room`].
    places: Semaphore,
    stall_limit: Duration,
    all_placed: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// Placed and not known to be done; the oldest in front.
    open: VecDeque<OpenOrder>,
    room: Room,
    cancelled: Cancelled,
}

/// An order on its way.
struct OpenOrder {
    id: OrderId,
    placed_at: Instant,
}

/// How many orders may be open.
struct Room {
    size: usize,
    size_max: usize,
}

impl Room {
    /// Few enough for the slowest machine.
    const SIZE_FIRST: usize = 128;
    /// Done within this: there is room for more.
    const QUICK: Duration = Duration::from_secs(5);
    /// Done after this: a quarter of the time limit has gone, fewer may be open.
    const SLOW: Duration = Duration::from_secs(15);

    fn new(size_max: usize) -> Self {
        let size_max = size_max.min(Semaphore::MAX_PERMITS / 2);
        Self { size: size_max.min(Self::SIZE_FIRST), size_max }
    }

    /// How many places an order frees that took so long.
    fn freed_by(&mut self, took: Duration) -> usize {
        if took <= Self::QUICK && self.size < self.size_max {
            self.size += 1;
            2
        } else if took >= Self::SLOW && self.size > Self::SIZE_FIRST {
            self.size -= 1;
            0
        } else {
            1
        }
    }
}

/// Orders that ended cancelled, which no order of the file should.
#[derive(Clone, Debug, Default)]
pub(super) struct Cancelled {
    pub(super) count: u64,
    /// The first of them with the reason.
    pub(super) first: Vec<String>,
}

impl<'a> Deliveries<'a> {
    /// Room for `open_max` orders at most. Without any progress for `stall_limit` [`Deliveries::watch`] gives up.
    pub(super) fn new(client: &'a Client, phase: &'a Phase, open_max: usize, stall_limit: Duration) -> Self {
        let room = Room::new(open_max);
        Self {
            client,
            phase,
            places: Semaphore::new(room.size),
            stall_limit,
            all_placed: AtomicBool::new(false),
            state: Mutex::new(State { open: VecDeque::new(), room, cancelled: Cancelled::default() }),
        }
    }

    /// Takes room for one order. Without any: waits for it when `may_wait`, otherwise answers no.
    pub(super) async fn room_for_one(&self, may_wait: bool) -> bool {
        let permit = if may_wait { self.places.acquire().await.ok() } else { self.places.try_acquire().ok() };
        // Given back when the order is done, by `done`.
        permit.map(tokio::sync::SemaphorePermit::forget).is_some()
    }

    /// An order is placed, now or before.
    pub(super) fn placed(&self, order: OrderId) {
        self.state().open.push_back(OpenOrder { id: order, placed_at: Instant::now() });
    }

    /// An order was refused: its room is free.
    pub(super) fn refused(&self) {
        self.places.add_permits(1);
        self.phase.advance(1);
    }

    /// No further orders will come.
    pub(super) fn all_placed(&self) {
        self.all_placed.store(true, Ordering::Release);
    }

    /// Follows placed orders until all are delivered or cancelled and no more come.
    pub(super) async fn watch(&self) -> anyhow::Result<()> {
        let mut progress_at = Instant::now();
        let mut trouble = None;
        loop {
            let oldest = self.take_oldest();
            if oldest.is_empty() {
                if self.all_placed.load(Ordering::Acquire) && self.state().open.is_empty() {
                    return Ok(());
                }
                progress_at = Instant::now();
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let asked = oldest.len();
            let still_open = self.ask(oldest, &mut trouble).await?;
            let done = asked - still_open.len();
            self.put_back(still_open, done > 0);
            if done > 0 {
                progress_at = Instant::now();
            } else if progress_at.elapsed() >= self.stall_limit {
                return Err(self.stalled(trouble));
            }
            if done * 2 < asked {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// The orders that ended cancelled.
    pub(super) fn cancelled(&self) -> Cancelled {
        self.state().cancelled.clone()
    }

    /// Asks after each of the orders; answers those that are still open.
    async fn ask(
        &self,
        orders: Vec<OpenOrder>,
        trouble: &mut Option<Failure>,
    ) -> anyhow::Result<Vec<OpenOrder>> {
        let questions = orders.into_iter().map(|order| async {
            let state = self.client.order(&order.id).await;
            (order, state)
        });
        let mut answers = stream::iter(questions).buffered(QUESTIONS_MAX);
        let mut still_open = Vec::new();
        while let Some((order, answer)) = answers.next().await {
            match answer {
                Ok(Some(OrderState { status: OrderStatus::Delivered, .. })) => self.done(&order),
                Ok(Some(OrderState { status: OrderStatus::Cancelled, cancel })) => {
                    let why = cancel
                        .map_or_else(String::new, |cancel| format!("{:?} {}", cancel.reason, cancel.detail));
                    self.state().cancelled.add(&order.id, why.trim());
                    self.done(&order);
                }
                Ok(_) => still_open.push(order),
                Err(failure) if failure.may_pass() => {
                    *trouble = Some(failure);
                    still_open.push(order);
                }
                Err(failure) => {
                    return Err(anyhow::anyhow!(
                        "the query API does not tell of order {}: {failure}",
                        order.id
                    ));
                }
            }
        }
        Ok(still_open)
    }

    fn done(&self, order: &OpenOrder) {
        let freed = self.state().room.freed_by(order.placed_at.elapsed());
        self.places.add_permits(freed);
        self.phase.advance(1);
    }

    fn take_oldest(&self) -> Vec<OpenOrder> {
        let open = &mut self.state().open;
        let length = open.len().min(ASKED_MAX);
        open.drain(..length).collect()
    }

    /// The oldest stay in front as long as they move; if none does, others get their turn.
    fn put_back(&self, orders: Vec<OpenOrder>, in_front: bool) {
        let open = &mut self.state().open;
        if in_front {
            orders.into_iter().rev().for_each(|order| open.push_front(order));
        } else {
            open.extend(orders);
        }
    }

    fn stalled(&self, trouble: Option<Failure>) -> anyhow::Error {
        let state = self.state();
        let named: Vec<&str> = state.open.iter().take(NAMED_MAX).map(|order| order.id.as_str()).collect();
        let mut message = format!(
            "of the orders placed {} are neither delivered nor cancelled, and none got there for {} s; among them {}",
            state.open.len(),
            self.stall_limit.as_secs(),
            named.join(", "),
        );
        if let Some(trouble) = trouble {
            message.push_str(&format!(" (last trouble: {trouble})"));
        }
        let example = named.first().copied().unwrap_or_default();
        hinted(
            message,
            format!(
                "`millrace status` shows whether shards, views and process managers run, `millrace events \
                 order/{example}` how far an order got; afterwards run the same command again to resume"
            ),
        )
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cancelled {
    fn add(&mut self, order: &OrderId, why: &str) {
        self.count += 1;
        if self.first.len() < CANCELLED_KEPT_MAX {
            self.first.push(format!("order {order} was cancelled: {why}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_grows_while_orders_are_quick_and_shrinks_while_they_are_slow() {
        let (quick, slow) = (Duration::from_secs(1), Duration::from_secs(20));
        let mut room = Room::new(1_000);
        let mut places = room.size;
        for _ in 0..2_000 {
            places = places - 1 + room.freed_by(quick);
        }
        assert_eq!((room.size, places), (1_000, 1_000), "at most what was asked for");
        assert_eq!(room.freed_by(Duration::from_secs(10)), 1, "neither quick nor slow");
        for _ in 0..2_000 {
            places = places - 1 + room.freed_by(slow);
        }
        assert_eq!((room.size, places), (Room::SIZE_FIRST, Room::SIZE_FIRST), "never too few to get on");
        assert_eq!(Room::new(1).size, 1);
    }
}
