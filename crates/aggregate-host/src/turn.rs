//! One turn: commands decided one after another, each seeing the effect of the earlier ones, their records gathered
//! into one batch.

use std::collections::HashMap;

use event_log::{
    Consumed, Cursor, FramingError, GroupToken, NewRecord, OutcomeRecord, Record, Shard, Topics, WriterTerm,
    decode_command, encode_event, encode_outcome, is_signed,
};
use schemas::{
    Accepted, CommandEnvelope, CommandHash, CommandId, ErrorCode, EventId, EventMetadata, InstallationSecret,
    Outcome, Position, Principal, Rejection, Timestamp, Version,
};

use crate::dedupe::{Dedupe, Remembered};
use crate::state_store::StateStore;
use crate::states::States;
use crate::work::Reply;
use crate::{HostAnswer, HostError, StartError};

/// What one command came to, once the batch is durable.
struct Decided {
    command_id: CommandId,
    hash: CommandHash,
    result: Undecided,
    replies: Vec<Reply>,
}

/// An outcome whose position is known only after the append.
enum Undecided {
    Accepted { version: Version, events: u32, last_record: usize },
    Other(Outcome),
}

/// The facts that every decision of a turn shares.
pub(crate) struct TurnContext<'a> {
    pub(crate) shard: Shard,
    pub(crate) term: WriterTerm,
    pub(crate) topics: &'a Topics,
    pub(crate) partitions: u32,
    pub(crate) now: Timestamp,
    pub(crate) store: &'a StateStore,
    /// Whether others than this process can write to the commands topic.
    pub(crate) is_shared: bool,
    pub(crate) secret: Option<&'a InstallationSecret>,
}

impl TurnContext<'_> {
    /// Whether a record of the commands topic says truly who sent it.
    fn believes(&self, record: &Record) -> bool {
        !self.is_shared || self.secret.is_some_and(|secret| is_signed(record, secret))
    }
}

/// A turn under way. Dropping one with callers tells them that the outcome is not known.
#[derive(Default)]
pub(crate) struct Turn {
    records: Vec<NewRecord>,
    bytes: usize,
    decided: Vec<Decided>,
    /// Which entry of `decided` a command id has in this turn.
    by_id: HashMap<CommandId, usize>,
    /// Where the group goes on in the commands topic, with the token of the oldest record taken.
    consumed: Option<(GroupToken, Cursor)>,
    has_records: bool,
}

impl Turn {
    /// Sizes of the records so far, bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many commands were decided.
    pub(crate) fn commands(&self) -> usize {
        self.decided.len()
    }

    /// Whether records of the commands topic were taken.
    pub(crate) fn has_records(&self) -> bool {
        self.has_records
    }

    /// Whether there is nothing to append and nobody to answer.
    pub(crate) fn is_empty(&self) -> bool {
        self.decided.is_empty() && self.records.is_empty() && self.consumed.is_none()
    }

    /// Decides one command of a caller who waits.
    pub(crate) fn command(
        &mut self,
        envelope: &CommandEnvelope,
        hash: CommandHash,
        reply: Option<Reply>,
        states: &mut States,
        dedupe: &Dedupe,
        context: &TurnContext<'_>,
    ) -> Result<(), StartError> {
        let command_id = envelope.command_id;
        if let Some(&index) = self.by_id.get(&command_id) {
            // The same id within one turn: the second one waits for the first one's answer.
            let first = &mut self.decided[index];
            match (first.hash == hash, reply) {
                (true, Some(reply)) => first.replies.push(reply),
                (false, Some(reply)) => answer(reply, Err(HostError::IdReused { command_id })),
                (_, None) => {}
            }
            return Ok(());
        }
        if let Some(known) = dedupe.get(command_id, context.store)? {
            metrics::counter!(crate::metrics::COMMANDS, "outcome" => "replayed").increment(1);
            if let Some(reply) = reply {
                let result = if known.hash == hash {
                    Ok(HostAnswer { outcome: known.outcome, replayed: true })
                } else {
                    Err(HostError::IdReused { command_id })
                };
                answer(reply, result);
            }
            return Ok(());
        }
        let result = self.decide(envelope, hash, states, context)?;
        self.by_id.insert(command_id, self.decided.len());
        self.decided.push(Decided { command_id, hash, result, replies: reply.into_iter().collect() });
        Ok(())
    }

    /// Deals with one record of the commands topic.
    pub(crate) fn record(
        &mut self,
        record: &Record,
        token: GroupToken,
        states: &mut States,
        dedupe: &Dedupe,
        context: &TurnContext<'_>,
    ) -> Result<(), StartError> {
        let next = record.cursor_after();
        self.has_records = true;
        match &mut self.consumed {
            // The oldest token is the strictest: a batch of an old generation is refused.
            Some((_, cursor)) => *cursor = next,
            None => self.consumed = Some((token, next)),
        }
        match decode_command(record) {
            Ok(mut envelope) => {
                let stream = envelope.command.stream();
                let right = Shard::of_key(stream.id().as_bytes(), context.partitions);
                if right != context.shard {
                    // A foreign producer hashed differently: send it on, within the batch that consumes it.
                    self.push(NewRecord {
                        topic: record.position.topic.clone(),
                        partition: right.partition(),
                        key: stream.id().to_owned().into(),
                        headers: record.headers.clone(),
                        value: record.value.clone(),
                        timestamp: record.timestamp,
                    });
                    return Ok(());
                }
                if !context.believes(record) {
                    envelope.principal = Principal::kafka(&record.position.topic);
                    // A foreign record cannot say what its command stands for: the command says it all.
                    envelope.request_hash = None;
                }
                let hash = envelope.hash();
                self.command(&envelope, hash, None, states, dedupe, context)
            }
            Err(error) => {
                tracing::warn!(position = %record.position, %error, "a record of the commands topic is no command");
                self.refuse_record(record, &error, context)
            }
        }
    }

    /// Records the refusal of something that is no command, under an id derived from its position.
    fn refuse_record(
        &mut self,
        record: &Record,
        error: &FramingError,
        context: &TurnContext<'_>,
    ) -> Result<(), StartError> {
        let command_id = CommandId::from_event(&EventId::from_text(record.position.to_string()), "refused");
        let outcome = Outcome::Rejected(
            Rejection::new(ErrorCode::InvalidRequest, error.to_string())
                .fact("position", record.position.to_string()),
        );
        let hash = CommandHash::from_bytes([0; 16]);
        let stream = schemas::StreamId::new(schemas::AggregateType::Order, "unknown").ok();
        if let Some(stream) = stream {
            let record = OutcomeRecord {
                command_id,
                command_hash: hash,
                stream,
                correlation_id: command_id.into(),
                writer_term: context.term.get(),
                recorded_at: context.now,
                outcome: outcome.clone(),
            };
            self.push(
                encode_outcome(context.topics, context.shard, &record)
                    .map_err(|e| framing_failed(e, context))?,
            );
        }
        self.by_id.insert(command_id, self.decided.len());
        self.decided.push(Decided {
            command_id,
            hash,
            result: Undecided::Other(outcome),
            replies: Vec::new(),
        });
        Ok(())
    }

    fn decide(
        &mut self,
        envelope: &CommandEnvelope,
        hash: CommandHash,
        states: &mut States,
        context: &TurnContext<'_>,
    ) -> Result<Undecided, StartError> {
        let stream = envelope.command.stream();
        let cached = states.load(&stream, context.store)?;
        let outcome = if envelope.expected_version.matches(cached.version) {
            match cached.state.decide(&envelope.command) {
                Ok(events) if events.is_empty() => Outcome::Unchanged { version: cached.version },
                Ok(events) => {
                    let count = u32::try_from(events.len()).expect("a command yields a handful of events");
                    for event in &events {
                        cached.version = cached.version.next();
                        let metadata = EventMetadata {
                            stream: stream.clone(),
                            version: cached.version,
                            occurred_at: envelope.occurred_at.unwrap_or(context.now),
                            recorded_at: context.now,
                            command_id: envelope.command_id,
                            command_hash: hash,
                            correlation_id: envelope.correlation_id,
                            causation_id: envelope.causation_id.clone(),
                            principal: envelope.principal.clone(),
                            writer_term: context.term.get(),
                            traceparent: envelope.traceparent.clone(),
                        };
                        let record = encode_event(context.topics, context.partitions, &metadata, event)
                            .map_err(|e| framing_failed(e, context))?;
                        self.bytes += record.size_bytes();
                        self.records.push(record);
                    }
                    let version = cached.version;
                    states.touch(&stream);
                    return Ok(Undecided::Accepted {
                        version,
                        events: count,
                        last_record: self.records.len() - 1,
                    });
                }
                Err(rejection) => Outcome::Rejected(rejection),
            }
        } else {
            let detail = format!("{stream} is at version {}", cached.version);
            Outcome::Rejected(
                Rejection::new(ErrorCode::VersionConflict, detail)
                    .fact("current_version", cached.version.get()),
            )
        };
        let record = OutcomeRecord {
            command_id: envelope.command_id,
            command_hash: hash,
            stream,
            correlation_id: envelope.correlation_id,
            writer_term: context.term.get(),
            recorded_at: context.now,
            outcome: outcome.clone(),
        };
        self.push(
            encode_outcome(context.topics, context.shard, &record).map_err(|e| framing_failed(e, context))?,
        );
        Ok(Undecided::Other(outcome))
    }

    fn push(&mut self, record: NewRecord) {
        self.bytes += record.size_bytes();
        self.records.push(record);
    }

    /// The batch to append; what remains waits for its result.
    pub(crate) fn take_batch(&mut self) -> event_log::Batch {
        let consumed = self.consumed.take().map(|(group, cursor)| Consumed { group, offsets: vec![cursor] });
        event_log::Batch { records: std::mem::take(&mut self.records), consumed }
    }

    /// The batch is durable: remembers every outcome and answers every caller.
    pub(crate) fn committed(self, appended: &[Position], now: Timestamp, dedupe: &mut Dedupe) {
        let (mut accepted, mut unchanged, mut rejected) = (0, 0, 0);
        for decided in self.decided {
            let outcome = match decided.result {
                Undecided::Accepted { version, events, last_record } => {
                    accepted += 1;
                    let position = appended[last_record].clone();
                    Outcome::Accepted(Accepted { version, events, position })
                }
                Undecided::Other(outcome) => {
                    match outcome {
                        Outcome::Unchanged { .. } => unchanged += 1,
                        _ => rejected += 1,
                    }
                    outcome
                }
            };
            for (i, reply) in decided.replies.into_iter().enumerate() {
                answer(reply, Ok(HostAnswer { outcome: outcome.clone(), replayed: i > 0 }));
            }
            dedupe.insert(decided.command_id, Remembered { hash: decided.hash, decided_at: now, outcome });
        }
        for (outcome, count) in [("accepted", accepted), ("unchanged", unchanged), ("rejected", rejected)] {
            if count > 0 {
                metrics::counter!(crate::metrics::COMMANDS, "outcome" => outcome).increment(count);
            }
        }
    }

    /// The batch is not in the log: every caller may repeat.
    pub(crate) fn failed(self, error: &HostError) {
        metrics::counter!(crate::metrics::FAILURES, "code" => error.code().as_str())
            .increment(self.decided.len() as u64);
        for reply in self.decided.into_iter().flat_map(|decided| decided.replies) {
            answer(reply, Err(error.clone()));
        }
    }

    /// Whether the batch landed is told by what the log says of each command id.
    pub(crate) fn resolve(self, dedupe: &Dedupe, store: &StateStore) -> Result<(), StartError> {
        for decided in self.decided {
            let known = dedupe.get(decided.command_id, store)?;
            for reply in decided.replies {
                answer(
                    reply,
                    match &known {
                        Some(known) => Ok(HostAnswer { outcome: known.outcome.clone(), replayed: false }),
                        None => Err(HostError::NotWritten),
                    },
                );
            }
        }
        Ok(())
    }
}

/// Answers; a caller who has gone away is no error: the id tells it later.
pub(crate) fn answer(reply: Reply, result: Result<HostAnswer, HostError>) {
    let _ = reply.send(result);
}

fn framing_failed(source: FramingError, context: &TurnContext<'_>) -> StartError {
    let position = Position {
        topic: context.topics.commands().clone(),
        partition: context.shard.partition(),
        offset: 0,
    };
    StartError::Record { position, source: source.into() }
}
