//! One client: asks, writes down, loses patience, asks again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use schemas::{StreamId, Version};
use tokio::sync::watch;
use tokio::time::Instant;

use super::operation::Operation;
use super::wishes::Wishes;
use super::{LoadConfig, Nodes, answer};
use crate::history::{Recorder, Told};

/// Decided operations that a client remembers, to ask for them again.
const PAST_MAX: usize = 100;
/// Of these, how many it asks for once more at the end.
const PAST_REPEATED: usize = 10;
/// Of a hundred requests, how many are waited for only for a moment; and the longest such moment, milliseconds.
const IMPATIENT_PERCENT: u8 = 4;
const IMPATIENT_MS_MAX: u64 = 15;

pub(super) struct Client {
    number: u32,
    wishes: Wishes,
    config: LoadConfig,
    nodes: Nodes,
    recorder: Recorder,
    stop: Arc<AtomicBool>,
    answered: watch::Sender<u64>,
    seen: HashMap<StreamId, Version>,
    past: VecDeque<Operation>,
}

/// A request as it is to be made.
struct Request {
    url: String,
    is_bulk: bool,
    timeout: Duration,
}

impl Client {
    pub(super) fn new(
        number: u32,
        config: &LoadConfig,
        nodes: &Nodes,
        recorder: &Recorder,
        stop: &Arc<AtomicBool>,
        answered: &watch::Sender<u64>,
    ) -> Self {
        Self {
            number,
            wishes: Wishes::new(config, number),
            config: config.clone(),
            nodes: nodes.clone(),
            recorder: recorder.clone(),
            stop: Arc::clone(stop),
            answered: answered.clone(),
            seen: HashMap::new(),
            past: VecDeque::new(),
        }
    }

    /// One operation after the other until it is stopped.
    pub(super) async fn run(mut self) {
        for _ in 0..self.config.operations_max {
            if self.stop.load(Ordering::SeqCst) {
                break;
            }
            let manner = self.wishes.random.u8(0..100);
            match self.some_past() {
                Some(past) if manner < 6 => self.ask_until_decided(past).await,
                Some(past) if manner < 9 => {
                    if let Some(other) = self.wishes.another_under_its_id(&past) {
                        self.ask_until_decided(other).await;
                    }
                }
                _ => {
                    let operation = self.wishes.next(&self.seen);
                    match manner {
                        9..13 => self.ask_once(&operation).await,
                        13..18 => {
                            self.ask_twice_at_once(&operation).await;
                            self.ask_until_decided(operation).await;
                        }
                        _ => self.ask_until_decided(operation).await,
                    }
                }
            }
        }
        for past in self.past.drain(..).rev().take(PAST_REPEATED).collect::<Vec<_>>() {
            self.ask_until_decided(past).await;
        }
    }

    /// These operations, one after the other.
    pub(super) async fn run_through(mut self, operations: Vec<Operation>) {
        for operation in operations {
            self.ask_until_decided(operation).await;
        }
    }

    /// Asks until there is a decision, or an answer that asking again does not change, or patience ends.
    async fn ask_until_decided(&mut self, operation: Operation) {
        let deadline = Instant::now() + self.config.patience;
        while let Some(request) = self.prepare(&operation, deadline).await {
            let (told, again) = self.ask(&operation, request).await;
            self.remember(&operation, &told);
            match again {
                Some(pause) if Instant::now() + pause < deadline => tokio::time::sleep(pause).await,
                _ => break,
            }
        }
        if self.past.len() == PAST_MAX {
            self.past.pop_front();
        }
        self.past.push_back(operation);
    }

    /// Asks and goes away, whatever the answer is.
    async fn ask_once(&mut self, operation: &Operation) {
        let deadline = Instant::now() + self.config.patience;
        if let Some(request) = self.prepare(operation, deadline).await {
            self.ask(operation, request).await;
        }
    }

    /// Two requests for one operation, neither waiting for the other.
    async fn ask_twice_at_once(&mut self, operation: &Operation) {
        let deadline = Instant::now() + self.config.patience;
        let (Some(one), Some(other)) =
            (self.prepare(operation, deadline).await, self.prepare(operation, deadline).await)
        else {
            return;
        };
        tokio::join!(self.ask(operation, one), self.ask(operation, other));
    }

    /// Chooses node, route and time-out; waits for a node that is ready. None: there was none in time.
    async fn prepare(&mut self, operation: &Operation, deadline: Instant) -> Option<Request> {
        let random = &mut self.wishes.random;
        let is_bulk = operation.has_a_choice() && random.bool();
        let is_stray = random.u8(0..100) < self.config.stray_percent;
        let is_impatient = random.u8(0..100) < IMPATIENT_PERCENT;
        let timeout = match is_impatient {
            true => Duration::from_millis(random.u64(1..=IMPATIENT_MS_MAX)),
            false => self.config.answer_timeout,
        };
        let choice = random.usize(..);
        let url = match is_stray {
            true => self.nodes.any(choice),
            false => self.nodes.ready(choice, deadline).await?,
        };
        Some(Request { url: url.to_owned(), is_bulk, timeout })
    }

    /// Makes one request and writes it down.
    async fn ask(&self, operation: &Operation, request: Request) -> (Told, Option<Duration>) {
        let Request { url, is_bulk, timeout } = request;
        let (request, is_bulk) = operation.request(&self.nodes, &url, is_bulk);
        let asked = self.recorder.ask(self.number, operation.command_id, operation.wish.clone());
        let response = request.timeout(timeout).send().await;
        let answer = answer::of(response, operation.wish.stream.aggregate_type(), is_bulk).await;
        asked.told(answer.told.clone());
        if answer.told.is_decision() {
            self.answered.send_modify(|count| *count += 1);
        }
        (answer.told, answer.again)
    }

    fn remember(&mut self, operation: &Operation, told: &Told) {
        if let Told::Accepted { version, .. } | Told::Unchanged { version, .. } = told {
            self.seen.insert(operation.wish.stream.clone(), *version);
        }
    }

    fn some_past(&mut self) -> Option<Operation> {
        let random = &mut self.wishes.random;
        (!self.past.is_empty()).then(|| self.past[random.usize(..self.past.len())].clone())
    }
}
