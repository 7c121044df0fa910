//! The wish to stop, as a token that tasks, threads and plain code can wait for.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// A cheap clone; once requested it stays requested. Dropping clones requests nothing.
#[derive(Clone)]
pub struct Stop {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    /// Wakes threads.
    condvar: Condvar,
    /// Wakes tasks.
    watch: watch::Sender<bool>,
}

struct State {
    requested: bool,
    children: Vec<Weak<Inner>>,
}

impl Stop {
    /// A token of its own, not requested.
    #[must_use]
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                state: Mutex::new(State { requested: false, children: Vec::new() }),
                condvar: Condvar::new(),
                watch: watch::Sender::new(false),
            }),
        }
    }

    /// A token that is requested with this one, or alone: requesting a child leaves its parent untouched.
    #[must_use]
    pub fn child(&self) -> Self {
        let child = Self::new();
        let mut state = self.lock();
        if state.requested {
            drop(state);
            child.request();
            return child;
        }
        // Looking for dead children only when the list would grow keeps this cheap however many there are.
        if state.children.len() == state.children.capacity() {
            state.children.retain(|known| known.strong_count() > 0);
        }
        state.children.push(Arc::downgrade(&child.inner));
        child
    }

    /// Asks everyone who holds this token or a child of it to stop. Repeating it changes nothing.
    pub fn request(&self) {
        let children = {
            let mut state = self.lock();
            if state.requested {
                return;
            }
            state.requested = true;
            std::mem::take(&mut state.children)
        };
        self.inner.condvar.notify_all();
        self.inner.watch.send_replace(true);
        for inner in children.iter().filter_map(Weak::upgrade) {
            Self { inner }.request();
        }
    }

    /// Whether stopping was requested; never blocks.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.inner.watch.borrow()
    }

    /// Waits until stopping is requested. Safe to drop and to call again.
    pub async fn requested(&self) {
        let mut changes = self.inner.watch.subscribe();
        // The sender lives in `self.inner`, so the channel cannot close while this borrows it.
        let _ = changes.wait_for(|requested| *requested).await;
    }

    /// For threads: waits until stopping is requested, at most `timeout`; says whether it was.
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let started = Instant::now();
        let mut state = self.lock();
        while !state.requested {
            let Some(left) = timeout.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) else {
                return false;
            };
            state = self.inner.condvar.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("requested", &self.is_requested()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_reaches_clones_children_and_those_who_ask_later() {
        let stop = Stop::new();
        let (clone, child) = (stop.clone(), stop.child());
        assert!(!child.is_requested());
        stop.request();
        clone.requested().await;
        child.requested().await;
        assert!(stop.child().is_requested());
    }

    #[test]
    fn a_child_stops_alone() {
        let stop = Stop::new();
        let (child, sibling) = (stop.child(), stop.child());
        child.request();
        assert!(child.is_requested());
        assert!(!stop.is_requested());
        assert!(!sibling.is_requested());
    }

    #[test]
    fn a_waiting_thread_is_woken_long_before_its_timeout() {
        let stop = Stop::new();
        assert!(!stop.wait_timeout(Duration::from_millis(1)));
        let waiting = {
            let stop = stop.clone();
            std::thread::spawn(move || stop.wait_timeout(Duration::from_secs(600)))
        };
        stop.request();
        assert!(waiting.join().unwrap());
    }

    #[test]
    fn dead_children_are_forgotten() {
        let stop = Stop::new();
        for _ in 0..10_000 {
            drop(stop.child());
        }
        assert!(stop.lock().children.len() < 100);
    }
}
