//! The port over HTTP: concurrent submissions travel together as one NDJSON body to `POST /v1/commands`, or from node to
//! node to `POST /internal/v1/commands`.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use schemas::{CommandEnvelope, CommandId, Principal};
use serde::{Deserialize, Serialize};
use service_kit::{OnError, Problem, Stop, Tasks};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::peer::Introduction;
use crate::wire::{self, AnswerLine};
use crate::{Answer, Commands, SubmitError};

/// Where the commands API is, and the limits of the way there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpCommandsConfig {
    /// Base URL of the commands API, for example `http://127.0.0.1:8080`.
    pub url: String,
    /// Most commands of one request. Default 256.
    pub batch_commands_max: usize,
    /// How long a command waits for company, milliseconds. Default 1.
    pub batch_wait_ms: u64,
    /// Most commands waiting for a request; further submissions wait for a place. Default 4,096.
    pub queue_commands_max: usize,
    /// Most requests under way. Default 8.
    pub requests_in_flight_max: usize,
    /// Time limit for a connection, milliseconds. Default 5,000.
    pub connect_timeout_ms: u64,
    /// Time limit for a whole request, its answers included, milliseconds. Default 30,000.
    pub request_timeout_ms: u64,
    /// Longest line of an answer, bytes. Default 1 MiB.
    pub answer_line_bytes_max: usize,
}

impl Default for HttpCommandsConfig {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8080".to_owned(),
            batch_commands_max: 256,
            batch_wait_ms: 1,
            queue_commands_max: 4_096,
            requests_in_flight_max: 8,
            connect_timeout_ms: 5_000,
            request_timeout_ms: 30_000,
            answer_line_bytes_max: 1_048_576,
        }
    }
}

/// Why the client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum HttpCommandsError {
    /// Not a URL that commands can be posted to.
    #[error("{url:?} is not the address of a commands API")]
    Url {
        /// What was given.
        url: String,
        /// Why.
        #[source]
        source: service_kit::BoxError,
    },
    /// The HTTP client refused its settings.
    #[error("the HTTP client cannot be built")]
    Client(#[source] reqwest::Error),
}

/// Submits over HTTP; a cheap clone. Its batching runs as a task until [`Tasks::stop`] is requested; submissions
/// afterwards get [`SubmitError::ShuttingDown`].
#[derive(Clone, Debug)]
pub struct HttpCommands {
    queue: mpsc::Sender<Submission>,
}

/// A command and where its answer goes.
struct Submission {
    envelope: CommandEnvelope,
    answer: oneshot::Sender<Result<Answer, SubmitError>>,
}

impl HttpCommands {
    /// Starts the batching task; nothing is connected before the first submission.
    pub fn start(tasks: &Tasks, config: HttpCommandsConfig) -> Result<Self, HttpCommandsError> {
        Self::start_as(tasks, config, None)
    }

    /// As [`HttpCommands::start`]; with an introduction as a node to its peer.
    pub(crate) fn start_as(
        tasks: &Tasks,
        config: HttpCommandsConfig,
        introduction: Option<Introduction>,
    ) -> Result<Self, HttpCommandsError> {
        let path = if introduction.is_some() { wire::PEER_COMMANDS } else { "/v1/commands" };
        let url = url_of(&config.url, path)?;
        let client = http_client(&config)?;
        let (queue, submissions) = mpsc::channel(config.queue_commands_max.max(1));
        let batcher = Batcher { client, url, config, introduction };
        let stop = tasks.stop();
        tasks.spawn("command-client", OnError::StopProcess, async move {
            batcher.run(submissions, stop).await;
            Ok::<(), service_kit::BoxError>(())
        });
        Ok(Self { queue })
    }
}

#[async_trait]
impl Commands for HttpCommands {
    async fn submit(&self, envelope: CommandEnvelope) -> Result<Answer, SubmitError> {
        let command_id = envelope.command_id;
        let (answer, answered) = oneshot::channel();
        self.queue.send(Submission { envelope, answer }).await.map_err(|_| SubmitError::ShuttingDown)?;
        // An answer dropped unsent: the task was cut off, maybe after the request had left.
        answered.await.unwrap_or(Err(SubmitError::OutcomeUnknown { command_id }))
    }
}

/// `path` on the server whose base URL is `base`.
pub(crate) fn url_of(base: &str, path: &str) -> Result<reqwest::Url, HttpCommandsError> {
    reqwest::Url::parse(base)
        .and_then(|base| base.join(path))
        .map_err(|source| HttpCommandsError::Url { url: base.to_owned(), source: source.into() })
}

/// A client within the configuration's limits.
pub(crate) fn http_client(config: &HttpCommandsConfig) -> Result<reqwest::Client, HttpCommandsError> {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_millis(config.connect_timeout_ms))
        .timeout(Duration::from_millis(config.request_timeout_ms))
        .tcp_nodelay(true)
        .build()
        .map_err(HttpCommandsError::Client)
}

struct Batcher {
    client: reqwest::Client,
    url: reqwest::Url,
    config: HttpCommandsConfig,
    /// From node to node: the envelope travels whole, principal included.
    introduction: Option<Introduction>,
}

impl Batcher {
    async fn run(self, mut submissions: mpsc::Receiver<Submission>, stop: Stop) {
        let commands_max = self.config.batch_commands_max.max(1);
        let wait = Duration::from_millis(self.config.batch_wait_ms);
        let mut requests = FuturesUnordered::new();
        let mut batch = Vec::with_capacity(commands_max);
        let mut leaves_at: Option<Instant> = None;
        let mut closed = false;
        while !(closed && batch.is_empty()) {
            let may_leave = requests.len() < self.config.requests_in_flight_max.max(1);
            let room = commands_max - batch.len();
            if may_leave && room == 0 {
                leaves_at = None;
                requests.extend(self.requests(std::mem::take(&mut batch)));
                continue;
            }
            let leave = leaves_at.unwrap_or_else(Instant::now);
            tokio::select! {
                () = stop.requested() => break,
                Some(()) = requests.next(), if !requests.is_empty() => {}
                taken = submissions.recv_many(&mut batch, room), if room > 0 && !closed => {
                    closed = taken == 0;
                    leaves_at = leaves_at.or(Some(Instant::now() + wait));
                }
                () = tokio::time::sleep_until(leave), if may_leave && leaves_at.is_some() => {
                    leaves_at = None;
                    requests.extend(self.requests(std::mem::take(&mut batch)));
                }
            }
        }
        // What was sent is waited for (each request has its time limit); what was not is told so.
        submissions.close();
        while let Ok(submission) = submissions.try_recv() {
            batch.push(submission);
        }
        for submission in batch {
            let _ = submission.answer.send(Err(SubmitError::ShuttingDown));
        }
        while requests.next().await.is_some() {}
    }

    /// The requests that carry a batch: the principal belongs to the request, unless a node speaks to its peer. What nobody
    /// waits for any more is not sent.
    fn requests(&self, mut batch: Vec<Submission>) -> impl Iterator<Item = impl Future<Output = ()>> {
        batch.retain(|submission| !submission.answer.is_closed());
        let parts: Vec<_> = match &self.introduction {
            Some(_) if batch.is_empty() => Vec::new(),
            Some(_) => vec![(None, batch)],
            None => by_principal(batch).map(|(principal, part)| (Some(principal), part)).collect(),
        };
        parts.into_iter().map(|(principal, part)| self.post(principal, part))
    }

    /// Posts one body and hands the answers out as they come; whoever gets none is told why. Ends with the last submitter
    /// that waits, whatever the server does.
    async fn post(&self, principal: Option<Principal>, batch: Vec<Submission>) {
        let mut waiting = Waiting::new(&batch);
        let mut body = Vec::with_capacity(batch.len() * 512);
        for submission in &batch {
            match principal {
                Some(_) => wire::write_line(&submission.envelope, &mut body),
                None => wire::write_envelope(&submission.envelope, &mut body),
            }
        }
        waiting.answers = batch.into_iter().map(|submission| Some(submission.answer)).collect();
        if let Err(source) = self.exchange(principal, body, &mut waiting).await {
            tracing::debug!(url = %self.url, error = %source, "a batch of commands was not answered in full");
            match source {
                // Nothing has left this process.
                Failed::Unreached(_) => waiting.fail(|_| SubmitError::ShardUnavailable),
                Failed::Broken(source) => {
                    let text = source.to_string();
                    waiting.fail(|_| SubmitError::Transport {
                        url: self.url.to_string(),
                        source: text.clone().into(),
                    });
                }
            }
        }
    }

    async fn exchange(
        &self,
        principal: Option<Principal>,
        body: Vec<u8>,
        waiting: &mut Waiting,
    ) -> Result<(), Failed> {
        let mut request = self.client.post(self.url.clone()).header("content-type", "application/x-ndjson");
        if let Some(principal) = principal {
            request = request.header("millrace-principal", principal.as_str());
        }
        if let Some(introduction) = &self.introduction {
            request = introduction.sign(request, &body);
        }
        let mut response = waiting.unless_abandoned(request.body(body).send()).await??;
        if !response.status().is_success() {
            let status = response.status();
            let problem = waiting.unless_abandoned(response.bytes()).await??;
            return match serde_json::from_slice::<Problem>(&problem) {
                Ok(problem) => {
                    waiting.fail(|command_id| wire::error(problem.clone(), command_id));
                    Ok(())
                }
                Err(_) => Err(format!("status {status} without a problem document").into()),
            };
        }
        let mut buffer = BytesMut::new();
        while let Some(chunk) = waiting.unless_abandoned(response.chunk()).await?? {
            let mut searched = buffer.len();
            buffer.extend_from_slice(&chunk);
            while let Some(at) = buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let line = buffer.split_to(searched + at + 1);
                searched = 0;
                let line = serde_json::from_slice(&line).map_err(|e| Failed::Broken(e.into()))?;
                waiting.answer(line).map_err(Failed::Broken)?;
            }
            if buffer.len() > self.config.answer_line_bytes_max {
                return Err("an answer is longer than answer_line_bytes_max".into());
            }
        }
        if waiting.open() > 0 {
            return Err(format!("{} commands were left unanswered", waiting.open()).into());
        }
        Ok(())
    }
}

/// Splits a batch by sender, each part in its order: the principal belongs to the request, not to the line.
fn by_principal(batch: Vec<Submission>) -> impl Iterator<Item = (Principal, Vec<Submission>)> {
    let mut parts: BTreeMap<Principal, Vec<Submission>> = BTreeMap::new();
    for submission in batch {
        parts.entry(submission.envelope.principal.clone()).or_default().push(submission);
    }
    parts.into_iter()
}

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
enum Failed {
    /// There was no connection: nothing was sent.
    #[error("{0}")]
    Unreached(service_kit::BoxError),
    /// Anything later.
    #[error("{0}")]
    Broken(service_kit::BoxError),
}

impl From<reqwest::Error> for Failed {
    fn from(error: reqwest::Error) -> Self {
        if error.is_connect() { Self::Unreached(describe(error)) } else { Self::Broken(describe(error)) }
    }
}

impl From<String> for Failed {
    fn from(text: String) -> Self {
        Self::Broken(text.into())
    }
}

impl From<&str> for Failed {
    fn from(text: &str) -> Self {
        Self::Broken(text.into())
    }
}

/// The whole chain: reqwest's own text leaves out why.
pub(crate) fn describe(error: reqwest::Error) -> service_kit::BoxError {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(&error);
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text.into()
}

/// The submitters of one request, by line.
struct Waiting {
    command_ids: Vec<CommandId>,
    answers: Vec<Option<oneshot::Sender<Result<Answer, SubmitError>>>>,
    /// All before this one are answered or have gone away.
    first_waiting: usize,
}

impl Waiting {
    fn new(batch: &[Submission]) -> Self {
        let command_ids = batch.iter().map(|s| s.envelope.command_id).collect();
        Self { command_ids, answers: Vec::new(), first_waiting: 0 }
    }

    /// The output of `step`, unless nobody waits any more.
    async fn unless_abandoned<T>(&mut self, step: impl Future<Output = T>) -> Result<T, Failed> {
        tokio::select! {
            biased;
            done = step => Ok(done),
            () = self.abandoned() => Err("nobody waits for the answers any more".into()),
        }
    }

    /// Waits until everybody without an answer has gone away; for ever when there is none to go.
    async fn abandoned(&mut self) {
        while let Some(answer) = self.answers.get_mut(self.first_waiting) {
            if let Some(answer) = answer {
                answer.closed().await;
            }
            self.first_waiting += 1;
        }
        if self.open() == 0 {
            std::future::pending().await
        }
    }

    fn open(&self) -> usize {
        self.answers.iter().filter(|answer| answer.is_some()).count()
    }

    fn answer(&mut self, line: AnswerLine) -> Result<(), service_kit::BoxError> {
        let index = usize::try_from(line.line).ok().and_then(|n| n.checked_sub(1));
        let open = index
            .and_then(|index| Some((self.command_ids.get(index)?, self.answers.get_mut(index)?.take()?)));
        let Some((command_id, answer)) = open else {
            return Err(format!("line {} is answered, but was not asked or twice", line.line).into());
        };
        // A submitter that went away does not want to know.
        let _ = answer.send(line.into_answer(*command_id));
        Ok(())
    }

    /// Tells everybody who has no answer yet.
    fn fail(&mut self, error: impl Fn(CommandId) -> SubmitError) {
        for (command_id, answer) in self.command_ids.iter().zip(&mut self.answers) {
            if let Some(answer) = answer.take() {
                let _ = answer.send(Err(error(*command_id)));
            }
        }
    }
}
