//! Every shard, wherever it is decided: on this node, or on the one that owns it.
//!
//! Callers use any node. A command for a shard that is decided elsewhere is passed on to its owner, over one hop at most;
//! while a shard changes hands the command waits, up to `handover_wait_ms`, and is submitted again under the same id.
//! An owner that does not answer, asleep or cut off, is let go of once the shard is known to have another one.
//! That is always safe: the same command id has the same outcome on whichever node it is decided.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aggregate_host::{CartFacts, HostAnswer, HostError, HostHandle, Lane, ProductFacts};
use async_trait::async_trait;
use command_client::{Answer, Commands, Peer, PeerLane, SubmitError};
use schemas::stock::StockLevels;
use schemas::{CartId, CommandEnvelope, CommandId, Currency, InstallationSecret, Outcome, Sku, StreamId};
use service_kit::Tasks;
use tokio::time::Instant;

use crate::facts::{Facts, Question};
use crate::sequence::{Link, Place};

/// How long an overloaded shard is left alone, milliseconds: some turns of its loop.
const RETRY_AFTER_MS: u64 = 50;
/// First and longest pause before a shard without an owner is looked for again; news of its owner end it early.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

/// All shards as callers on this node see them; a cheap clone.
///
/// As the port [`Commands`] it is trusted: there are no permissions on this way.
#[derive(Clone)]
pub struct Shards(Arc<Inner>);

struct Inner {
    host: HostHandle,
    peers: Option<Peers>,
    handover_wait: Duration,
}

/// The other nodes that have been asked so far, by address.
struct Peers {
    tasks: Tasks,
    secret: Option<Arc<InstallationSecret>>,
    known: Mutex<HashMap<String, Peer>>,
}

impl Shards {
    /// The shards of a log that no other node shares. `handover_wait` bounds how long a command waits for its shard.
    pub fn alone(host: HostHandle, handover_wait: Duration) -> Self {
        Self(Arc::new(Inner { host, peers: None, handover_wait }))
    }

    /// The shards of a log that nodes share. `secret` proves to the others who we are, and to us who they are; without
    /// one, nodes believe only each other on the same machine.
    pub fn shared(
        host: HostHandle,
        handover_wait: Duration,
        secret: Option<InstallationSecret>,
        tasks: &Tasks,
    ) -> Self {
        let peers = Peers { tasks: tasks.clone(), secret: secret.map(Arc::new), known: Mutex::default() };
        Self(Arc::new(Inner { host, peers: Some(peers), handover_wait }))
    }

    /// The shards that are decided here.
    pub fn host(&self) -> &HostHandle {
        &self.0.host
    }

    pub(crate) fn secret(&self) -> Option<&InstallationSecret> {
        self.0.peers.as_ref()?.secret.as_deref()
    }

    /// Whether other nodes may ask us.
    pub(crate) fn has_peers(&self) -> bool {
        self.0.peers.is_some()
    }

    /// Decides a command, here or at its owner's, and waits until the outcome is durable. `link` is the command's place among
    /// those of its request.
    pub(crate) async fn submit(
        &self,
        envelope: Arc<CommandEnvelope>,
        lane: Lane,
        link: Link,
    ) -> Result<HostAnswer, HostError> {
        let mut waiting = Waiting::new(self, &envelope, link);
        // However often it is submitted: no caller waits longer for the answer than for that of one submission.
        let deadline = waiting.started + self.0.host.answer_timeout();
        loop {
            let attempt = self.attempt(&envelope, lane, &mut waiting);
            let error = match tokio::time::timeout_at(deadline, attempt).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => error,
                Err(_) => HostError::OutcomeUnknown { command_id: envelope.command_id },
            };
            waiting.after(error).await?;
        }
    }

    /// Submits to whoever owns the shard, and to the next owner when that one is replaced meanwhile.
    async fn attempt(
        &self,
        envelope: &Arc<CommandEnvelope>,
        lane: Lane,
        waiting: &mut Waiting<'_>,
    ) -> Result<HostAnswer, HostError> {
        let stream = envelope.command.stream();
        loop {
            let way = self.way(&stream)?;
            if !waiting.link.may_go(way.place()) {
                waiting.link.before_moves().await;
                continue;
            }
            waiting.goes(way.place());
            let answered = match &way {
                Way::Here { .. } => self.0.host.enqueue(Arc::clone(envelope), lane)?.await,
                Way::There(hop) => match self.pass_on(envelope, lane, hop, &stream).await {
                    Some(answered) => answered,
                    None => {
                        waiting.let_go();
                        continue;
                    }
                },
            };
            if answered.is_ok() {
                waiting.link.arrived(way.place());
            }
            return answered;
        }
    }

    /// The owner's answer; none: another owner is known by now. The answer would be true also then, but may never come.
    async fn pass_on(
        &self,
        envelope: &CommandEnvelope,
        lane: Lane,
        hop: &Hop,
        stream: &StreamId,
    ) -> Option<Result<HostAnswer, HostError>> {
        let lane = match lane {
            Lane::Single => PeerLane::Single,
            Lane::Bulk => PeerLane::Bulk,
        };
        tokio::select! {
            biased;
            answered = hop.peer.submit(envelope.clone(), lane) => Some(match answered {
                Ok(Answer { outcome, replayed, .. }) => Ok(HostAnswer { outcome, replayed }),
                Err(refused) => Err(host_error(refused, envelope, &hop.not_here)),
            }),
            () = self.is_over(hop, stream) => None,
        }
    }

    /// Waits until the owner at the end of `hop` is known to be replaced.
    async fn is_over(&self, hop: &Hop, stream: &StreamId) {
        self.0.host.replaced(self.0.host.shard_of(stream), hop.term).await;
        tracing::debug!(%stream, term = hop.term, "let go of an owner that has been replaced");
    }

    /// Where the shard of `stream` is decided; an error: nobody is known who could.
    fn way(&self, stream: &StreamId) -> Result<Way, HostError> {
        let host = &self.0.host;
        let shard = host.shard_of(stream);
        let not_here = match host.serving_term(shard) {
            Ok(term) => return Ok(Way::Here { term }),
            Err(not_here) => not_here,
        };
        let hop = self.0.peers.as_ref().and_then(|peers| {
            let owner = host.owner(shard)?;
            Some((owner.term, peers.get(&owner.address)?))
        });
        match hop {
            Some((term, peer)) => Ok(Way::There(Hop { term, peer, not_here })),
            None => Err(not_here),
        }
    }

    /// The product, with its price in `currency`; `None` when there is none.
    pub(crate) async fn product(
        &self,
        sku: &Sku,
        currency: Currency,
    ) -> Result<Option<ProductFacts>, HostError> {
        let question = Question::Product { sku: sku.clone(), currency };
        match self.ask(question).await? {
            Facts::Product(product) => Ok(product),
            _ => Err(self.strange_answer(&StreamId::product(sku))),
        }
    }

    /// The counters of a SKU; all nothing when it never had any.
    pub(crate) async fn stock_levels(&self, sku: &Sku) -> Result<StockLevels, HostError> {
        match self.ask(Question::StockLevels { sku: sku.clone() }).await? {
            Facts::StockLevels(levels) => Ok(levels),
            _ => Err(self.strange_answer(&StreamId::stock(sku))),
        }
    }

    /// The cart; `None` when there is none.
    pub(crate) async fn cart(&self, id: &CartId) -> Result<Option<CartFacts>, HostError> {
        match self.ask(Question::Cart { id: id.clone() }).await? {
            Facts::Cart(cart) => Ok(cart),
            _ => Err(self.strange_answer(&StreamId::from(id))),
        }
    }

    /// Whether the stream has any event.
    pub(crate) async fn exists(&self, stream: &StreamId) -> Result<bool, HostError> {
        match self.ask(Question::Exists { stream: stream.clone() }).await? {
            Facts::Exists(exists) => Ok(exists),
            _ => Err(self.strange_answer(stream)),
        }
    }

    /// What became of a command for `stream`; `None`: it is not decided, or longer ago than outcomes are remembered.
    pub(crate) async fn outcome(
        &self,
        command_id: CommandId,
        stream: &StreamId,
    ) -> Result<Option<Outcome>, HostError> {
        match self.ask(Question::Outcome { command_id, stream: stream.clone() }).await? {
            Facts::Outcome(outcome) => Ok(outcome),
            _ => Err(self.strange_answer(stream)),
        }
    }

    /// Asks here or the owner; waits as commands do while the shard changes hands.
    async fn ask(&self, question: Question) -> Result<Facts, HostError> {
        let stream = question.stream();
        let started = Instant::now();
        let mut pause = PAUSES.0;
        loop {
            let error = match question.answer(&self.0.host).await {
                Ok(facts) => return Ok(facts),
                Err(error) => error,
            };
            if !matches!(error, HostError::ShardUnavailable { .. } | HostError::ShuttingDown) {
                return Err(error);
            }
            if let Ok(Way::There(hop)) = self.way(&stream) {
                tokio::select! {
                    biased;
                    answered = hop.peer.ask(&question) => match answered {
                        Ok(facts) => return Ok(facts),
                        Err(refused) => tracing::debug!(%stream, error = %refused, "a peer did not answer"),
                    },
                    () = self.is_over(&hop, &stream) => {}
                }
            }
            if started.elapsed() >= self.0.handover_wait {
                return Err(error);
            }
            self.pause(&mut pause).await;
        }
    }

    /// Waits for news of the owners, a little while at most.
    async fn pause(&self, pause: &mut Duration) {
        let mut changes = self.0.host.changes();
        let _ = tokio::time::timeout(*pause, changes.changed()).await;
        *pause = (*pause * 2).min(PAUSES.1);
    }

    fn strange_answer(&self, stream: &StreamId) -> HostError {
        let shard = self.0.host.shard_of(stream).partition();
        tracing::error!(%stream, "a peer answered another question: is it of another version?");
        HostError::ShardUnavailable { shard }
    }
}

/// Where a shard is decided, and under which term.
enum Way {
    Here { term: u64 },
    There(Hop),
}

/// The way to the other node that owns a shard.
struct Hop {
    term: u64,
    peer: Peer,
    /// What it means that the shard is not served here.
    not_here: HostError,
}

impl Way {
    fn place(&self) -> Place {
        match self {
            Self::Here { term } => Place::Here(*term),
            Self::There(hop) => Place::There(hop.term),
        }
    }
}

impl Peers {
    fn get(&self, address: &str) -> Option<Peer> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = known.get(address) {
            return Some(peer.clone());
        }
        match Peer::start(&self.tasks, address, self.secret.clone()) {
            Ok(peer) => {
                known.insert(address.to_owned(), peer.clone());
                Some(peer)
            }
            Err(error) => {
                tracing::error!(address, error = %service_kit::Chain(&error), "a shard's owner cannot be asked");
                None
            }
        }
    }
}

/// One command's patience.
struct Waiting<'a> {
    shards: &'a Shards,
    envelope: &'a CommandEnvelope,
    link: Link,
    started: Instant,
    pause: Duration,
    /// No attempt has ended without an outcome.
    is_first_time: bool,
    /// An attempt may have taken effect: from then on only an outcome is an answer, or "not known".
    in_doubt: bool,
    was_not_written: bool,
}

impl<'a> Waiting<'a> {
    fn new(shards: &'a Shards, envelope: &'a CommandEnvelope, link: Link) -> Self {
        Self {
            shards,
            envelope,
            link,
            started: Instant::now(),
            pause: PAUSES.0,
            is_first_time: true,
            in_doubt: false,
            was_not_written: false,
        }
    }

    fn goes(&self, place: Place) {
        self.link.goes(place, self.is_first_time);
    }

    /// It has to be submitted again.
    fn came_back(&mut self) {
        self.is_first_time = false;
        self.link.came_back();
    }

    /// The owner that had it is not waited for any longer.
    fn let_go(&mut self) {
        self.in_doubt = true;
        self.came_back();
    }

    /// Waits before the next attempt, where there is to be one; otherwise says how it ends.
    async fn after(&mut self, error: HostError) -> Result<(), HostError> {
        self.came_back();
        let again = match &error {
            HostError::ShardUnavailable { .. } | HostError::ShuttingDown => true,
            HostError::OutcomeUnknown { .. } => {
                self.in_doubt = true;
                // Asked again, the shard knows; without peers nobody but this node's own shard could have decided it.
                self.shards.has_peers()
            }
            // The log refused it: decided once more, in case only the shard's owner had changed.
            HostError::NotWritten => !std::mem::replace(&mut self.was_not_written, true),
            // Whatever became of earlier attempts: the id stands for another command, and will.
            HostError::IdReused { .. } => return Err(error),
            HostError::Overloaded { .. } => false,
        };
        if !again || self.started.elapsed() >= self.shards.0.handover_wait {
            let command_id = self.envelope.command_id;
            return Err(if self.in_doubt { HostError::OutcomeUnknown { command_id } } else { error });
        }
        self.shards.pause(&mut self.pause).await;
        Ok(())
    }
}

#[async_trait]
impl Commands for Shards {
    async fn submit(&self, envelope: CommandEnvelope) -> Result<Answer, SubmitError> {
        let command_id = envelope.command_id;
        let answer = Self::submit(self, Arc::new(envelope), Lane::Single, Link::default())
            .await
            .map_err(submit_error)?;
        Ok(Answer { command_id, outcome: answer.outcome, replayed: answer.replayed })
    }
}

fn submit_error(error: HostError) -> SubmitError {
    match error {
        HostError::Overloaded { .. } => SubmitError::Overloaded { retry_after_ms: RETRY_AFTER_MS },
        HostError::ShardUnavailable { .. } => SubmitError::ShardUnavailable,
        HostError::NotWritten => SubmitError::NotWritten,
        HostError::OutcomeUnknown { command_id } => SubmitError::OutcomeUnknown { command_id },
        HostError::IdReused { command_id } => SubmitError::KeyReused { command_id },
        HostError::ShuttingDown => SubmitError::ShuttingDown,
    }
}

/// What a peer's refusal means here; `unavailable` says that the shard is not served.
fn host_error(error: SubmitError, envelope: &CommandEnvelope, unavailable: &HostError) -> HostError {
    let command_id = envelope.command_id;
    match error {
        SubmitError::Overloaded { .. } => {
            let shard = match unavailable {
                HostError::ShardUnavailable { shard } => *shard,
                _ => 0,
            };
            HostError::Overloaded { shard, waiting: 0 }
        }
        SubmitError::ShardUnavailable => unavailable.clone(),
        SubmitError::NotWritten => HostError::NotWritten,
        SubmitError::KeyReused { .. } => HostError::IdReused { command_id },
        SubmitError::ShuttingDown => HostError::ShuttingDown,
        SubmitError::Invalid { code, detail } => {
            // What this node has checked, a peer takes, unless it does not believe us: nothing was done.
            tracing::error!(%command_id, %code, detail, "a peer does not take our commands: do the installation secrets differ?");
            unavailable.clone()
        }
        SubmitError::OutcomeUnknown { .. } | SubmitError::Transport { .. } => {
            HostError::OutcomeUnknown { command_id }
        }
    }
}
