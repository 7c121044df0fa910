//! The only place where tasks and threads start: each has a name, a rule for its failure, and an end that is waited for.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::Instrument;

use crate::error::{BoxError, Chain, Error, panic_message};
use crate::stop::Stop;

/// What the failure of a task means to the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// The process cannot do its work without it: stop everything, exit with the error.
    StopProcess,
    /// Others can go on: log it as an error.
    Log,
}

/// The tasks and threads of one process; a cheap clone.
///
/// A task hears of the end through [`Tasks::stop`] and then finishes what it holds and returns. One that is still there at
/// the deadline of [`Tasks::shutdown`] is named and dropped at its next `.await`; a thread cannot be dropped and is left
/// behind. A task that returns `Ok` early has simply finished; a panic is an error like a returned one.
#[derive(Clone)]
pub struct Tasks {
    shared: Arc<Shared>,
}

struct Shared {
    stop: Stop,
    runtime: Option<Handle>,
    next_id: AtomicU64,
    running: watch::Sender<BTreeMap<u64, Entry>>,
    first_failure: Mutex<Option<Error>>,
}

struct Entry {
    name: Cow<'static, str>,
    abort: Option<AbortHandle>,
}

impl Tasks {
    /// An empty set. Made inside a Tokio runtime, it can spawn from any thread later; made outside, only from inside one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                stop: Stop::new(),
                runtime: Handle::try_current().ok(),
                next_id: AtomicU64::new(0),
                running: watch::Sender::new(BTreeMap::new()),
                first_failure: Mutex::new(None),
            }),
        }
    }

    /// The token that asks every task to end: requested by [`Tasks::shutdown`] and by the first failure of an
    /// [`OnError::StopProcess`] task.
    #[must_use]
    pub fn stop(&self) -> Stop {
        self.shared.stop.clone()
    }

    /// Runs a future as a task of its own.
    ///
    /// # Panics
    /// Outside a Tokio runtime, if [`Tasks::new`] was called outside one too.
    pub fn spawn<F, E>(&self, name: impl Into<Cow<'static, str>>, on_error: OnError, body: F) -> TaskHandle
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let (registration, task) = self.register(name.into());
        let span = tracing::info_span!("task", name = %task.name);
        let run = async move {
            let outcome = match AssertUnwindSafe(body).catch_unwind().await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(Fault::Returned(error.into())),
                Err(payload) => Err(Fault::Panicked(panic_message(payload.as_ref()))),
            };
            registration.finish(on_error, outcome);
        };
        let runtime = Handle::try_current()
            .ok()
            .or_else(|| self.shared.runtime.clone())
            .expect("tasks are spawned inside a runtime, or through a `Tasks` made inside one");
        let abort = runtime.spawn(run.instrument(span)).abort_handle();
        self.shared.running.send_if_modified(|running| {
            // It may have ended before its handle got here.
            if let Some(entry) = running.get_mut(&task.id) {
                entry.abort = Some(abort);
            }
            false
        });
        task
    }

    /// Runs a closure on an operating system thread of its own, inside the runtime's context (timers and channels of Tokio
    /// work, blocking is allowed). The closure gets [`Tasks::stop`] and has to look at it. A thread that the system
    /// refuses counts as a failed task.
    pub fn spawn_thread<F, E>(
        &self,
        name: impl Into<Cow<'static, str>>,
        on_error: OnError,
        body: F,
    ) -> TaskHandle
    where
        F: FnOnce(Stop) -> Result<(), E> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let (registration, task) = self.register(name.into());
        let span = tracing::info_span!("thread", name = %task.name);
        let runtime = Handle::try_current().ok().or_else(|| self.shared.runtime.clone());
        let stop = self.stop();
        // Kept outside the closure, so that the registration survives a thread that never starts.
        let slot = Arc::new(Mutex::new(Some(registration)));
        let mine = Arc::clone(&slot);
        let started = std::thread::Builder::new().name(task.name.to_string()).spawn(move || {
            let _runtime = runtime.as_ref().map(Handle::enter);
            let _span = span.entered();
            let outcome = match catch_unwind(AssertUnwindSafe(|| body(stop))) {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(Fault::Returned(error.into())),
                Err(payload) => Err(Fault::Panicked(panic_message(payload.as_ref()))),
            };
            if let Some(registration) = take(&mine) {
                registration.finish(on_error, outcome);
            }
        });
        if let Err(error) = started
            && let Some(registration) = take(&slot)
        {
            registration.finish(on_error, Err(Fault::Returned(error.into())));
        }
        task
    }

    /// The names of what runs, sorted.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        let mut names: Vec<_> =
            self.shared.running.borrow().values().map(|entry| entry.name.to_string()).collect();
        names.sort();
        names
    }

    /// Requests [`Tasks::stop`] and waits until everything has ended, at most `deadline`.
    ///
    /// # Errors
    /// The first failure of an [`OnError::StopProcess`] task since the last call; otherwise
    /// [`Error::TasksUnfinished`] with the names of what did not end (they are logged in both cases).
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), Error> {
        self.shared.stop.request();
        let mut running = self.shared.running.subscribe();
        let ended = tokio::time::timeout(deadline, running.wait_for(BTreeMap::is_empty)).await.is_ok();
        let unfinished = if ended { Vec::new() } else { self.running() };
        if !unfinished.is_empty() {
            tracing::error!(tasks = unfinished.join(", "), "tasks did not end in time");
            let aborts: Vec<_> =
                self.shared.running.borrow().values().filter_map(|entry| entry.abort.clone()).collect();
            // Outside the borrow: aborting may drop the future here, and with it its registration.
            aborts.iter().for_each(AbortHandle::abort);
        }
        match self.take_failure() {
            Some(failure) => Err(failure),
            None if unfinished.is_empty() => Ok(()),
            None => Err(Error::TasksUnfinished { names: unfinished }),
        }
    }

    fn take_failure(&self) -> Option<Error> {
        self.shared.first_failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn register(&self, name: Cow<'static, str>) -> (Registration, TaskHandle) {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        self.shared.running.send_modify(|running| {
            running.insert(id, Entry { name: name.clone(), abort: None });
        });
        let shared = Arc::clone(&self.shared);
        let registration = Registration { shared: Arc::clone(&shared), id, name: name.clone() };
        (registration, TaskHandle { shared, id, name })
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("running", &self.running()).finish()
    }
}

/// One task or thread. Dropping the handle leaves the task alone.
#[derive(Clone)]
pub struct TaskHandle {
    shared: Arc<Shared>,
    id: u64,
    name: Cow<'static, str>,
}

impl TaskHandle {
    /// The name it was spawned under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it has ended, in whatever way.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        !self.shared.running.borrow().contains_key(&self.id)
    }

    /// Waits until it has ended, in whatever way; all that it owned is dropped by then.
    pub async fn ended(&self) {
        let mut running = self.shared.running.subscribe();
        // The sender lives in `self.shared`, so the channel cannot close while this borrows it.
        let _ = running.wait_for(|running| !running.contains_key(&self.id)).await;
    }

    /// Drops a task at its next `.await`, which counts as an end without error. A thread cannot be aborted.
    pub fn abort(&self) {
        let abort = self.shared.running.borrow().get(&self.id).and_then(|entry| entry.abort.clone());
        if let Some(abort) = abort {
            abort.abort();
        }
    }
}

impl fmt::Debug for TaskHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle").field("name", &self.name).field("ended", &self.has_ended()).finish()
    }
}

enum Fault {
    Returned(BoxError),
    Panicked(String),
}

/// The place in the list of what runs; leaving it is the last thing a task does, even when it is dropped half-way.
struct Registration {
    shared: Arc<Shared>,
    id: u64,
    name: Cow<'static, str>,
}

impl Registration {
    fn finish(self, on_error: OnError, outcome: Result<(), Fault>) {
        let name = self.name.to_string();
        let error = match outcome {
            Ok(()) => {
                tracing::debug!(task = name, "task ended");
                return;
            }
            Err(Fault::Returned(source)) => Error::TaskFailed { name, source },
            Err(Fault::Panicked(message)) => Error::TaskPanicked { name, message },
        };
        tracing::error!(task = %self.name, error = %Chain(&error), "task failed");
        if on_error == OnError::StopProcess {
            self.shared.first_failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            self.shared.stop.request();
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.shared.running.send_modify(|running| {
            running.remove(&self.id);
        });
    }
}

fn take(slot: &Mutex<Option<Registration>>) -> Option<Registration> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn clones_share_one_set_of_tasks() {
        let tasks = Tasks::new();
        let clone = tasks.clone();
        let stop = clone.stop();
        clone.spawn("waiter", OnError::Log, async move {
            stop.requested().await;
            Ok::<_, Error>(())
        });
        assert_eq!(tasks.running(), ["waiter"]);
        tasks.shutdown(SOON).await.unwrap();
        assert!(clone.running().is_empty());
    }

    #[tokio::test]
    async fn a_panicking_task_is_reported_with_its_name_and_stops_the_process() {
        let tasks = Tasks::new();
        tasks.spawn("shard-3", OnError::StopProcess, async {
            if true {
                panic!("broken invariant {}", 7);
            }
            Ok::<_, Error>(())
        });
        tasks.stop().requested().await;
        let error = tasks.shutdown(SOON).await.unwrap_err();
        assert_eq!(error.to_string(), "task shard-3 panicked: broken invariant 7");
    }

    #[tokio::test]
    async fn the_first_failure_is_the_one_returned() {
        let tasks = Tasks::new();
        tasks.spawn("first", OnError::StopProcess, async { Err("disk gone") }).ended().await;
        tasks.spawn("second", OnError::StopProcess, async { Err("too") }).ended().await;
        let error = tasks.shutdown(SOON).await.unwrap_err();
        assert_eq!(Chain(&error).to_string(), "task first failed: disk gone");
    }

    #[tokio::test]
    async fn a_failure_that_is_only_logged_stops_nobody() {
        let tasks = Tasks::new();
        tasks.spawn("mailer", OnError::Log, async { Err("no route") }).ended().await;
        assert!(!tasks.stop().is_requested());
        tasks.shutdown(SOON).await.unwrap();
    }

    #[tokio::test]
    async fn tasks_that_do_not_end_are_named_and_dropped() {
        let tasks = Tasks::new();
        let stuck = tasks.spawn("stuck", OnError::StopProcess, async {
            std::future::pending::<()>().await;
            Ok::<_, Error>(())
        });
        let error = tasks.shutdown(Duration::from_millis(5)).await.unwrap_err();
        assert!(matches!(error, Error::TasksUnfinished { names } if names == ["stuck"]));
        stuck.ended().await;
        assert!(tasks.running().is_empty());
    }

    #[tokio::test]
    async fn a_thread_sees_the_stop_and_is_waited_for() {
        let tasks = Tasks::new();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let thread = tasks.spawn_thread("shard-0", OnError::StopProcess, move |stop| {
            assert_eq!(std::thread::current().name(), Some("shard-0"));
            while !stop.wait_timeout(SOON) {}
            sender.send(()).map_err(|()| "nobody waits")
        });
        assert!(!thread.has_ended());
        tasks.shutdown(SOON).await.unwrap();
        assert!(thread.has_ended());
        receiver.await.unwrap();
    }

    #[tokio::test]
    async fn a_panicking_thread_is_reported_with_its_name() {
        let tasks = Tasks::new();
        tasks
            .spawn_thread("poller", OnError::StopProcess, |_| {
                if true { panic!("lost") } else { Ok::<_, Error>(()) }
            })
            .ended()
            .await;
        let error = tasks.shutdown(SOON).await.unwrap_err();
        assert_eq!(error.to_string(), "task poller panicked: lost");
    }

    #[tokio::test]
    async fn a_plain_thread_can_spawn_tasks() {
        let tasks = Tasks::new();
        let clone = tasks.clone();
        let handle =
            std::thread::spawn(move || clone.spawn("late", OnError::Log, async { Ok::<_, Error>(()) }))
                .join()
                .unwrap();
        handle.ended().await;
    }

    #[tokio::test]
    async fn an_aborted_task_ends_without_a_failure() {
        let tasks = Tasks::new();
        let handle =
            tasks.spawn("endless", OnError::StopProcess, std::future::pending::<Result<(), Error>>());
        handle.abort();
        handle.ended().await;
        tasks.shutdown(SOON).await.unwrap();
    }
}
