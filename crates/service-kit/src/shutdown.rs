//! Ending in order: each phase leaves the next one something complete to work with.
//!
//! 1. **Hand over** – while everything is served still: other nodes take over what this one owns, and callers have time to
//!    look elsewhere, told by the health report and by `Connection: close` on every answer.
//! 2. **Stop accepting** – before the rest, because nothing else can finish while new work arrives.
//! 3. **Finish what runs** – requests in flight still need the shards, so the servers drain first and only then are the
//!    tasks asked to stop. Callers get their answers: nobody is left with an unknown outcome.
//! 4. **Flush** – only now is there nothing left that could add to a buffer.
//! 5. **Store progress** – after the flush, because a checkpoint may only cover effects that are durable; a crash before
//!    this point costs repeated work, never lost work.
//! 6. **Telemetry** – last, because every step before it has something to say.
//!
//! Each phase has to be done by its share of the total time, so that a client that never reads its answer cannot take the
//! time in which progress is stored; what a phase leaves over goes to the next. A step that fails is reported, and the
//! next phase runs all the same. A second signal exits at once with 130: the log is durable, so that is always allowed.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use futures::FutureExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::error::{BoxError, Chain, Error, panic_message};
use crate::http::{HttpOptions, serve_leaving};
use crate::stop::Stop;
use crate::tasks::{OnError, TaskHandle, Tasks};
use crate::units::Millis;

/// The exit code after a second signal: the shell's 128 + SIGINT.
const EXIT_SECOND_SIGNAL: i32 = 130;

/// The steps of a shutdown, in their order; the module says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not ready any more, serving all the same; what is owned goes to other nodes.
    HandOver,
    /// No new requests, commands, assignments.
    StopAccepting,
    /// Requests drain, then tasks end.
    FinishRunning,
    /// Buffers reach the log and the stores.
    Flush,
    /// Checkpoints, snapshots.
    StoreProgress,
    /// The last spans and numbers leave the process.
    Telemetry,
}

impl Phase {
    /// All of them in the order in which they run.
    pub const ALL: [Self; 6] = [
        Self::HandOver,
        Self::StopAccepting,
        Self::FinishRunning,
        Self::Flush,
        Self::StoreProgress,
        Self::Telemetry,
    ];

    /// The part of the total time, in percent, that is over when this phase has to be done.
    const fn due_percent(self) -> u32 {
        match self {
            Self::HandOver => 45,
            Self::StopAccepting => 50,
            Self::FinishRunning => 80,
            Self::Flush => 88,
            Self::StoreProgress => 96,
            Self::Telemetry => 100,
        }
    }
}

/// When the servers have to be drained, in percent of the total time; the tasks end between here and the phase's end.
const DRAINED_PERCENT: u32 = 70;

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HandOver => "hand-over",
            Self::StopAccepting => "stop-accepting",
            Self::FinishRunning => "finish-running",
            Self::Flush => "flush",
            Self::StoreProgress => "store-progress",
            Self::Telemetry => "telemetry",
        })
    }
}

type Step = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>> + Send>;

struct Registered {
    phase: Phase,
    name: &'static str,
    step: Step,
}

/// The one place that knows how this process ends; a cheap clone, so that components register their own steps.
#[derive(Clone)]
pub struct Shutdown {
    tasks: Tasks,
    leaving: Stop,
    accepting: Stop,
    timeout: Duration,
    steps: Arc<Mutex<Vec<Registered>>>,
}

impl Shutdown {
    /// The default of `shutdown_timeout_ms`.
    pub const TIMEOUT_MS: Millis = Millis::new(20_000);

    /// A shutdown without steps that ends `tasks` in [`Phase::FinishRunning`]. `timeout_ms` bounds the whole.
    #[must_use]
    pub fn new(tasks: Tasks, timeout_ms: Millis) -> Self {
        Self {
            tasks,
            leaving: Stop::new(),
            accepting: Stop::new(),
            timeout: timeout_ms.duration(),
            steps: Arc::default(),
        }
    }

    /// Requested at the start of [`Phase::StopAccepting`], before any task is asked to stop: for whatever lets work in.
    #[must_use]
    pub fn accepting(&self) -> Stop {
        self.accepting.clone()
    }

    /// Adds a step. Steps of one phase run at the same time; a step that fails, panics or is late is reported by its
    /// name and keeps nothing else from running.
    pub fn on<F, Fut, E>(&self, phase: Phase, name: &'static str, step: F)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let step: Step = Box::new(move || Box::pin(step().map(|outcome| outcome.map_err(Into::into))));
        self.lock().push(Registered { phase, name, step });
    }

    /// Serves a router as a task that stops accepting in the first phase and is drained in the second, before the tasks
    /// that answer its requests are asked to stop.
    pub fn serve(
        &self,
        name: &'static str,
        listener: TcpListener,
        router: Router,
        options: HttpOptions,
    ) -> TaskHandle {
        let (leaving, stop) = (self.leaving.clone(), self.accepting());
        let server = self.tasks.spawn(
            name,
            OnError::StopProcess,
            serve_leaving(listener, router, leaving, stop, options),
        );
        let drained = server.clone();
        self.on(Phase::FinishRunning, name, move || async move {
            drained.ended().await;
            Ok::<_, Error>(())
        });
        server
    }

    /// Waits for SIGTERM, SIGINT or a stop requested from within (a failed task), then runs all phases. A second signal
    /// exits the process with 130.
    ///
    /// # Errors
    /// [`Error::Signals`], or what [`Shutdown::run`] returns.
    pub async fn run_on_signal(self) -> Result<(), Error> {
        let mut signals = Signals::install()?;
        let stop = self.tasks.stop();
        tokio::select! {
            name = signals.next() => tracing::info!(signal = name, "shutting down"),
            () = stop.requested() => tracing::info!("shutting down because a task asked for it"),
        }
        tokio::select! {
            outcome = self.run() => outcome,
            name = signals.next() => {
                tracing::warn!(signal = name, "second signal: leaving without finishing");
                std::process::exit(EXIT_SECOND_SIGNAL);
            }
        }
    }

    /// Runs all phases now. Steps run once: a second call only waits for the tasks.
    ///
    /// # Errors
    /// The failure of the task that made the process stop, otherwise the first failure of the shutdown itself.
    pub async fn run(&self) -> Result<(), Error> {
        let started = Instant::now();
        let due = |percent: u32| started + self.timeout * percent / 100;
        let mut task_failure = None;
        let mut step_failure = None;
        for phase in Phase::ALL {
            tracing::debug!(%phase, "shutdown phase");
            if phase == Phase::HandOver {
                self.leaving.request();
            }
            if phase == Phase::StopAccepting {
                self.accepting.request();
            }
            let steps_due = if phase == Phase::FinishRunning { DRAINED_PERCENT } else { phase.due_percent() };
            for failure in self.run_steps(phase, due(steps_due)).await {
                step_failure.get_or_insert(failure);
            }
            if phase == Phase::FinishRunning {
                let left = due(phase.due_percent()).saturating_duration_since(Instant::now());
                match self.tasks.shutdown(left).await {
                    Err(error @ Error::TasksUnfinished { .. }) => {
                        step_failure.get_or_insert(error);
                    }
                    Err(error) => task_failure = Some(error),
                    Ok(()) => {}
                }
            }
        }
        match task_failure.or(step_failure) {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    async fn run_steps(&self, phase: Phase, due: Instant) -> Vec<Error> {
        let steps: Vec<_> = self.lock().extract_if(.., |registered| registered.phase == phase).collect();
        let outcomes = steps.into_iter().map(|Registered { name, step, .. }| async move {
            // The step is called inside, so that its synchronous part is caught too.
            let guarded = AssertUnwindSafe(async move { step().await }).catch_unwind();
            let source: BoxError = match tokio::time::timeout_at(due, guarded).await {
                Ok(Ok(Ok(()))) => return None,
                Ok(Ok(Err(error))) => error,
                Ok(Err(payload)) => format!("panicked: {}", panic_message(payload.as_ref())).into(),
                Err(_elapsed) => "not done in time".into(),
            };
            let failure = Error::ShutdownStep { name: name.to_owned(), phase, source };
            tracing::error!(step = name, %phase, error = %Chain(&failure), "shutdown step failed");
            Some(failure)
        });
        futures::future::join_all(outcomes).await.into_iter().flatten().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Registered>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The two signals that end a process politely.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> Result<Self, Error> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(Error::Signals)?,
            interrupt: signal(SignalKind::interrupt()).map_err(Error::Signals)?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Seen = Arc<Mutex<Vec<String>>>;

    fn recorder() -> (Seen, impl Fn(&Shutdown, Phase, &'static str)) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = {
            let seen = Arc::clone(&seen);
            move |shutdown: &Shutdown, phase, name: &'static str| {
                let seen = Arc::clone(&seen);
                shutdown.on(phase, name, move || async move {
                    seen.lock().unwrap().push(name.to_owned());
                    Ok::<_, Error>(())
                });
            }
        };
        (seen, record)
    }

    #[tokio::test]
    async fn phases_run_in_order_whatever_the_order_of_registration() {
        let shutdown = Shutdown::new(Tasks::new(), Shutdown::TIMEOUT_MS);
        let (seen, record) = recorder();
        record(&shutdown, Phase::Telemetry, "telemetry");
        record(&shutdown, Phase::StoreProgress, "checkpoint");
        record(&shutdown, Phase::StopAccepting, "listener");
        record(&shutdown, Phase::HandOver, "shards");
        record(&shutdown, Phase::Flush, "producer");
        record(&shutdown, Phase::FinishRunning, "requests");
        shutdown.run().await.unwrap();
        assert_eq!(
            *seen.lock().unwrap(),
            ["shards", "listener", "requests", "producer", "checkpoint", "telemetry"]
        );
    }

    #[tokio::test]
    async fn tasks_stop_after_the_requests_and_before_the_flush() {
        let tasks = Tasks::new();
        let shutdown = Shutdown::new(tasks.clone(), Shutdown::TIMEOUT_MS);
        let (seen, record) = recorder();
        record(&shutdown, Phase::Flush, "flush");
        let (stop, accepting, in_request) = (tasks.stop(), shutdown.accepting(), Arc::clone(&seen));
        shutdown.on(Phase::FinishRunning, "requests", move || async move {
            assert!(accepting.is_requested() && !stop.is_requested());
            in_request.lock().unwrap().push("requests".to_owned());
            Ok::<_, Error>(())
        });
        let (stop, in_task) = (tasks.stop(), Arc::clone(&seen));
        tasks.spawn("shard", OnError::StopProcess, async move {
            stop.requested().await;
            in_task.lock().unwrap().push("shard".to_owned());
            Ok::<_, Error>(())
        });
        shutdown.run().await.unwrap();
        assert_eq!(*seen.lock().unwrap(), ["requests", "shard", "flush"]);
    }

    #[tokio::test]
    async fn a_late_or_panicking_step_is_named_and_keeps_no_later_phase_from_running() {
        let shutdown = Shutdown::new(Tasks::new(), Millis::new(50));
        let (seen, record) = recorder();
        shutdown.on(Phase::FinishRunning, "slow client", std::future::pending::<Result<(), Error>>);
        shutdown.on(Phase::Flush, "producer", || async {
            if true {
                panic!("no broker");
            }
            Ok::<_, Error>(())
        });
        record(&shutdown, Phase::StoreProgress, "checkpoint");
        let error = shutdown.run().await.unwrap_err();
        assert_eq!(
            Chain(&error).to_string(),
            "shutdown step slow client failed in phase finish-running: not done in time"
        );
        assert_eq!(*seen.lock().unwrap(), ["checkpoint"]);
    }

    #[tokio::test]
    async fn the_failure_that_caused_the_shutdown_is_what_it_returns() {
        let tasks = Tasks::new();
        let shutdown = Shutdown::new(tasks.clone(), Millis::new(1_000));
        shutdown.on(Phase::Flush, "producer", || async { Err("also broken") });
        tasks.spawn("shard-1", OnError::StopProcess, async { Err("fenced") });
        let error = shutdown.run_on_signal().await.unwrap_err();
        assert_eq!(Chain(&error).to_string(), "task shard-1 failed: fenced");
    }
}
