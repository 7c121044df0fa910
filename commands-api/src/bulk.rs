//! Many commands over one request: NDJSON in, one answer per line out, in input order.
//!
//! Reading and answering run side by side: at most `bulk_in_flight_max` commands are decided at a time, and a client that
//! does not read its answers stops its own input. A line is admitted to its shard's queue before the next one is looked
//! at, so the commands of one stream keep their order. They keep it also where the shard's owner is replaced and lines have
//! to be submitted again (see `sequence.rs`), unless it had refused some and taken later ones. An overloaded shard makes the
//! whole request wait.

mod lines;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use aggregate_host::{HostAnswer, HostError, Lane};
use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use command_client::wire::{AnswerLine, CommandLine, LineOutcome};
use futures::future::BoxFuture;
use futures::stream::{self, FuturesOrdered};
use futures::{FutureExt, StreamExt};
use schemas::{CommandEnvelope, CommandId, ErrorCode, ExpectedVersion, Outcome};
use service_kit::{Problem, parse_json};
use tokio::sync::OwnedSemaphorePermit;

use crate::app::Api;
use crate::call::{Sender, command_id_of_key, fresh_command_id};
use crate::error::ApiError;
use crate::extract::require_object;
use crate::metrics::BULK_LINES;
use crate::sequence::{Link, Sequences};

use lines::{Line, Lines};

/// Answers are sent on in chunks of about this size, bytes.
const CHUNK_BYTES: usize = 64 << 10;
/// First and longest wait for an overloaded shard.
const OVERLOAD_WAITS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// The content type of lines.
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// An answer of lines.
pub(crate) fn ndjson(body: Body) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static(NDJSON))], body).into_response()
}

/// One bulk request under way.
pub(crate) struct Bulk {
    api: Api,
    sender: Sender,
    lines: Lines,
    ended: bool,
    window: FuturesOrdered<BoxFuture<'static, AnswerLine>>,
    sequences: Sequences,
    /// Kept until the last line is answered.
    _place: Arc<OwnedSemaphorePermit>,
}

impl Bulk {
    pub(crate) fn new(api: Api, sender: Sender, place: Arc<OwnedSemaphorePermit>, body: Body) -> Self {
        let lines = Lines::new(body, api.config.bulk_line_bytes_max);
        let (window, sequences) = (FuturesOrdered::new(), Sequences::default());
        Self { api, sender, lines, ended: false, window, sequences, _place: place }
    }

    /// The body of the answer. Dropping it (the client went away) reads no further line; what was admitted is decided.
    pub(crate) fn answers(self) -> Body {
        Body::from_stream(stream::unfold(self, async |mut bulk| {
            let chunk = bulk.next_chunk().await?;
            Some((Ok::<_, Infallible>(chunk), bulk))
        }))
    }

    /// The next answers; none: every line is answered.
    async fn next_chunk(&mut self) -> Option<Bytes> {
        let in_flight_max = self.api.config.bulk_in_flight_max.max(1);
        loop {
            let may_read = !self.ended && self.window.len() < in_flight_max;
            tokio::select! {
                biased;
                Some(answer) = self.window.next(), if !self.window.is_empty() => return Some(self.chunk(answer)),
                line = self.lines.next(), if may_read => match line {
                    None => self.ended = true,
                    Some(line) => self.admit(line).await,
                },
                else => return None,
            }
        }
    }

    /// This answer and those that are there already.
    fn chunk(&mut self, first: AnswerLine) -> Bytes {
        let mut chunk = BytesMut::with_capacity(512).writer();
        let mut next = Some(first);
        while let Some(answer) = next {
            let outcome = answer.outcome.map_or("none", |outcome| match outcome {
                LineOutcome::Accepted => "accepted",
                LineOutcome::Unchanged => "unchanged",
                LineOutcome::Rejected => "rejected",
            });
            BULK_LINES.as_counter(&[("outcome", outcome)]).increment(1);
            serde_json::to_writer(&mut chunk, &answer)
                .expect("answers are made of strings, numbers and JSON values");
            chunk.get_mut().put_u8(b'\n');
            let full = chunk.get_ref().len() >= CHUNK_BYTES;
            next = if full { None } else { self.window.next().now_or_never().flatten() };
        }
        chunk.into_inner().freeze()
    }

    /// Puts the line's command into its shard's queue, waiting while that is full.
    async fn admit(&mut self, line: Line) {
        let number = line.number();
        let envelope = match self.read(line) {
            Ok(envelope) => envelope,
            Err(problem) => {
                let answer = problem_line(number, *problem);
                return self.window.push_back(std::future::ready(answer).boxed());
            }
        };
        let (command_id, stream) = (envelope.command_id, envelope.command.stream());
        // A shard that no other node can have does not change hands.
        let has_peers = self.api.shards.has_peers();
        let link = if has_peers { self.sequences.next(&stream) } else { Link::default() };
        let envelope = Arc::new(envelope);
        let since = Instant::now();
        let mut wait = OVERLOAD_WAITS.0;
        let answered = loop {
            let (shards, envelope, link) = (self.api.shards.clone(), Arc::clone(&envelope), link.clone());
            let mut submission = async move { shards.submit(envelope, Lane::Bulk, link).await }.boxed();
            // The first poll puts the command into the queue, or finds it full.
            match futures::poll!(&mut submission) {
                Poll::Pending => break submission,
                Poll::Ready(Err(HostError::Overloaded { .. }))
                    if since.elapsed() < Duration::from_millis(self.api.config.bulk_overload_wait_ms) => {}
                Poll::Ready(result) => break std::future::ready(result).boxed(),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(OVERLOAD_WAITS.1);
        };
        let stream = stream.to_string();
        self.window.push_back(
            async move {
                match answered.await {
                    Ok(answer) => outcome_line(number, command_id, stream, answer),
                    Err(error) => problem_line(number, ApiError::from(error).problem.command_id(command_id)),
                }
            }
            .boxed(),
        );
    }

    /// The envelope of a line that its sender may send.
    fn read(&self, line: Line) -> Result<CommandEnvelope, Box<Problem>> {
        let text = match line {
            Line::Text(_, text) => text,
            Line::TooLong(_) => {
                let bytes_max = self.api.config.bulk_line_bytes_max;
                let problem = Problem::of(ErrorCode::BodyTooLarge)
                    .detail(format!("the line is longer than {bytes_max} bytes"))
                    .fact("line_bytes_max", bytes_max);
                return Err(Box::new(problem));
            }
            Line::BrokenOff(_) => {
                let problem =
                    Problem::of(ErrorCode::InvalidRequest).detail("the body broke off in this line");
                return Err(Box::new(problem));
            }
        };
        let mut parsed: CommandLine = parse_json(&text).map_err(|mut problem| {
            // It would say 1 within the line; the answer says which line.
            problem.facts.remove("line");
            Box::new(ApiError::from(problem).problem)
        })?;
        require_object(&text).map_err(|problem| Box::new(ApiError::from(problem).problem))?;
        let command_id = self.command_id(&parsed)?;
        self.envelope(command_id, &mut parsed)
            .map_err(|problem| Box::new(ApiError::from(problem).problem.command_id(command_id)))
    }

    fn command_id(&self, line: &CommandLine) -> Result<CommandId, Box<Problem>> {
        match (line.command_id, &line.idempotency_key) {
            (Some(command_id), None) => Ok(command_id),
            (None, Some(key)) => Ok(command_id_of_key(&self.sender.principal, key)?),
            (None, None) => Ok(fresh_command_id()),
            (Some(_), Some(_)) => Err(Box::new(
                Problem::of(ErrorCode::InvalidRequest)
                    .detail("command_id and idempotency_key both name the command"),
            )),
        }
    }

    fn envelope(&self, command_id: CommandId, line: &mut CommandLine) -> Result<CommandEnvelope, Problem> {
        let principal = &self.sender.principal;
        let command =
            line.command().map_err(|error| Problem::of(ErrorCode::InvalidValue).detail(error.to_string()))?;
        self.api.check_may_send(principal, &command)?;
        if line.occurred_at.is_some() {
            self.api.check_may_backdate(principal)?;
        }
        Ok(CommandEnvelope {
            correlation_id: line.correlation_id.unwrap_or(command_id.into()),
            causation_id: line.causation_id.take(),
            expected_version: line.expected_version.map_or(ExpectedVersion::Any, ExpectedVersion::Exactly),
            occurred_at: line.occurred_at,
            traceparent: line.traceparent.take().or_else(|| self.sender.traceparent.clone()),
            ..CommandEnvelope::new(command_id, principal.clone(), command)
        })
    }
}

/// The answer of a line whose command has an outcome.
pub(crate) fn outcome_line(
    line: u64,
    command_id: CommandId,
    stream: String,
    answer: HostAnswer,
) -> AnswerLine {
    let mut said = AnswerLine {
        line,
        command_id: Some(command_id),
        outcome: None,
        stream: Some(stream),
        version: None,
        events: None,
        position: None,
        replayed: Some(answer.replayed),
        problem: None,
    };
    match answer.outcome {
        Outcome::Accepted(accepted) => {
            said.outcome = Some(LineOutcome::Accepted);
            said.version = Some(accepted.version);
            said.events = Some(accepted.events);
            said.position = Some(accepted.position);
        }
        Outcome::Unchanged { version } => {
            said.outcome = Some(LineOutcome::Unchanged);
            said.version = Some(version);
        }
        Outcome::Rejected(rejection) => {
            said.outcome = Some(LineOutcome::Rejected);
            said.problem =
                Some(ApiError::rejected(&rejection, answer.replayed).problem.command_id(command_id));
        }
    }
    said
}

/// The answer of a line whose command has none.
pub(crate) fn problem_line(line: u64, problem: Problem) -> AnswerLine {
    AnswerLine {
        line,
        command_id: problem.command_id.as_deref().and_then(|id| id.parse().ok()),
        outcome: None,
        stream: None,
        version: None,
        events: None,
        position: None,
        replayed: None,
        problem: Some(problem),
    }
}
