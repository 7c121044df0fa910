//! Streams records of the log as lines: a thread reads, a short queue holds it to the caller's pace.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use event_log::{Cursor, Log, LogReader, Record, RecordJson};
use schemas::ErrorCode;
use service_kit::{Chain, OnError, Problem, Stop, Tasks};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{LogCursor, LogLine};

/// Answers that are streamed at the same time; each holds a thread and a reader.
const EXPORTS_MAX: usize = 8;
/// Chunks that wait for the caller.
const CHUNKS_WAITING_MAX: usize = 4;
/// Records of one chunk.
const RECORDS_PER_CHUNK: usize = 1_000;
/// How long one read waits, and so how late a leaving caller or the stop is noticed.
const READ_WAIT: Duration = Duration::from_millis(100);

/// How far an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// To the stable ends at the time of the question.
    StableEnd,
    /// Until the caller leaves or the process stops.
    Stopped,
}

/// Starts the answers; a cheap clone.
#[derive(Clone)]
pub(super) struct Exports {
    log: Arc<dyn Log>,
    tasks: Tasks,
    stop: Stop,
    room: Arc<Semaphore>,
}

impl Exports {
    /// `stop` ends the answers: it has to be requested before requests are drained.
    pub(super) fn new(log: Arc<dyn Log>, tasks: Tasks, stop: Stop) -> Self {
        Self { log, tasks, stop, room: Arc::new(Semaphore::new(EXPORTS_MAX)) }
    }

    /// NDJSON of [`LogLine`]s from the cursors on, at most `limit` records.
    pub(super) async fn stream(
        &self,
        from: Vec<Cursor>,
        until: Until,
        limit: Option<u64>,
    ) -> Result<Response, Problem> {
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_| {
            Problem::of(ErrorCode::Overloaded)
                .detail(format!("{EXPORTS_MAX} answers from the log are under way already"))
        })?;
        let log = Arc::clone(&self.log);
        let opened = tokio::task::spawn_blocking(move || log.open_reader(&from)).await;
        let reader =
            opened.map_err(|_| Problem::of(ErrorCode::Internal))?.map_err(|error| log_problem(&error))?;
        let (chunks, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
        let export = Export { reader, until, left: limit, chunks, stop: self.stop.clone(), _room: room };
        self.tasks.spawn_thread("log-export", OnError::Log, move |_| {
            export.run();
            Ok::<(), service_kit::Error>(())
        });
        let body = futures::stream::unfold(receiver, async |mut receiver| {
            let chunk: Bytes = receiver.recv().await?;
            Some((Ok::<_, std::convert::Infallible>(chunk), receiver))
        });
        Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(body)).into_response())
    }
}

/// What the log said, as a problem.
pub(super) fn log_problem(error: &event_log::Error) -> Problem {
    let code = match error {
        event_log::Error::NoSuchPartition { .. } => ErrorCode::NotFound,
        event_log::Error::OffsetOutOfRange { .. } => ErrorCode::InvalidRequest,
        other => other.code(),
    };
    Problem::of(code).detail(Chain(error).to_string())
}

/// One answer under way.
struct Export {
    reader: Box<dyn LogReader>,
    until: Until,
    left: Option<u64>,
    chunks: mpsc::Sender<Bytes>,
    stop: Stop,
    _room: OwnedSemaphorePermit,
}

impl Export {
    fn run(mut self) {
        let ends = self.reader.stable_ends();
        let mut next = self.reader.next_offsets();
        while !self.is_done() {
            let records_max =
                self.left.map_or(RECORDS_PER_CHUNK, |left| RECORDS_PER_CHUNK.min(left as usize));
            let mut records = match self.reader.read(records_max, READ_WAIT) {
                Ok(records) => records,
                Err(error) => return self.send(&[LogLine::Failed(Chain(&error).to_string())]),
            };
            next = self.reader.next_offsets();
            if self.until == Until::StableEnd {
                // What became stable after the question belongs to the next one.
                records.retain(|record| record.position.offset < end_of(&ends, record));
                next.iter_mut().for_each(|cursor| clamp(cursor, &ends));
            }
            self.left = self.left.map(|left| left - records.len() as u64);
            let lines: Vec<_> =
                records.iter().map(|record| LogLine::Record(RecordJson::from(record))).collect();
            self.send(&lines);
        }
        if !self.stop.is_requested() || self.until == Until::Stopped {
            self.send(&[LogLine::End(next.into_iter().map(LogCursor::from).collect())]);
        }
    }

    fn is_done(&self) -> bool {
        self.stop.is_requested()
            || self.chunks.is_closed()
            || self.left == Some(0)
            || (self.until == Until::StableEnd && self.reader.caught_up())
    }

    /// Waits for room; a caller that left is noticed by [`Export::is_done`].
    fn send(&self, lines: &[LogLine]) {
        let mut chunk = Vec::with_capacity(lines.len() * 1_024);
        for line in lines {
            serde_json::to_writer(&mut chunk, line).expect("lines are made of text and numbers");
            chunk.push(b'\n');
        }
        if !chunk.is_empty() {
            let _ = self.chunks.blocking_send(chunk.into());
        }
    }
}

fn end_of(ends: &[Cursor], record: &Record) -> u64 {
    let (topic, partition) = (&record.position.topic, record.position.partition);
    let end = ends.iter().find(|end| end.topic == *topic && end.partition == partition);
    end.map_or(0, |end| end.next_offset)
}

fn clamp(cursor: &mut Cursor, ends: &[Cursor]) {
    if let Some(end) = ends.iter().find(|end| end.topic == cursor.topic && end.partition == cursor.partition)
    {
        cursor.next_offset = cursor.next_offset.min(end.next_offset);
    }
}
