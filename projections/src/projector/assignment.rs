//! Which partitions are projected in this process: all of them where the views are its own, a share where several processes fill
//! the same ones.
//!
//! The share is the group's that follows the `shard-owners` topic, which has as many partitions as all others and hardly any
//! records: partition k of it is partition k of all. Nothing is fenced when a share changes: rows are stamped by their offsets, so
//! whoever is late changes nothing. So a partition goes on here until it is known to go on elsewhere: while the group waits for a
//! member that has died, all others would stand still.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use event_log::Subscription;
use service_kit::{Chain, Health, OnError, Stop, TaskHandle, Tasks};
use tokio::sync::watch;

use super::partition::{PartitionProjector, Shared};
use crate::Error;

/// The consumer group, behind the namespace.
const GROUP: &str = "projectors";
/// How long one look at the group takes at most.
const READ_WAIT: Duration = Duration::from_millis(200);
/// Records of the topic that are read, and forgotten, at once.
const RECORDS: usize = 100;
/// How long a partition that moves away may take to finish its batch.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// The partitions that are projected here, in order.
pub(super) type Assigned = watch::Receiver<Vec<u32>>;

/// Starts and stops the partitions' threads.
pub(super) struct Assignment {
    shared: Shared,
    tasks: Tasks,
    health: Health,
    running: BTreeMap<u32, (Stop, TaskHandle)>,
    /// Those of them that the group has taken away, to share them out anew.
    suspended: BTreeSet<u32>,
    assigned: watch::Sender<Vec<u32>>,
}

impl Assignment {
    pub(super) fn new(shared: Shared, tasks: Tasks, health: Health) -> (Self, Assigned) {
        let (assigned, receiver) = watch::channel(Vec::new());
        (
            Self { shared, tasks, health, running: BTreeMap::new(), suspended: BTreeSet::new(), assigned },
            receiver,
        )
    }

    /// Projects all partitions, until the process stops.
    pub(super) fn all(mut self) -> Vec<TaskHandle> {
        (0..self.shared.log.partitions()).for_each(|k| self.begin(k));
        self.running.into_values().map(|(_, handle)| handle).collect()
    }

    /// Projects what the group gives, on a thread `projector-group`.
    pub(super) fn of_group(mut self) -> TaskHandle {
        let tasks = self.tasks.clone();
        tasks.spawn_thread("projector-group", OnError::Log, move |stop| {
            let component = self
                .health
                .component_with_progress("projector-group", self.shared.config.stalled_after_ms.duration());
            let mut pauses = self.shared.config.backoff.start();
            loop {
                let followed = self.follow(&stop, &component);
                self.end_all();
                match followed {
                    Ok(()) => return Ok::<_, Error>(()),
                    Err(_) if stop.is_requested() => return Ok(()),
                    Err(error) => {
                        let reason = Chain(&error).to_string();
                        tracing::warn!(reason, "the group of the projectors is joined again");
                        component.degraded(reason);
                        if !matches!(pauses.wait_blocking(None, &stop), service_kit::AfterPause::Again) {
                            return Ok(());
                        }
                    }
                }
            }
        })
    }

    fn follow(&mut self, stop: &Stop, component: &service_kit::ComponentHealth) -> Result<(), Error> {
        let log = &self.shared.log;
        let mut group: Box<dyn Subscription> =
            log.subscribe(GROUP, &[log.topics().shard_owners().clone()])?;
        component.ready();
        while !stop.is_requested() {
            let changes = group.read(RECORDS, READ_WAIT)?;
            self.suspended.extend(changes.revoked.iter().map(|(_, k)| *k));
            for (_, k) in &changes.assigned {
                self.suspended.remove(k);
                self.begin(*k);
            }
            if changes.rebalanced {
                std::mem::take(&mut self.suspended).into_iter().for_each(|k| self.end(k));
            }
            component.progress();
        }
        Ok(())
    }

    fn begin(&mut self, k: u32) {
        if self.running.contains_key(&k) {
            return;
        }
        let name = format!("projector-{k}");
        let stalled_after = self.shared.config.stalled_after_ms.duration();
        let component = self.health.component_with_progress(name.clone(), stalled_after);
        self.shared.progress.begin(k);
        let mut projector = PartitionProjector::new(k, self.shared.clone());
        let own = self.tasks.stop().child();
        let (ending, progress) = (own.clone(), self.shared.progress.clone());
        let handle = self.tasks.spawn_thread(name, OnError::Log, move |_| {
            let ended = projector.run(&ending, &component).inspect_err(|error| {
                tracing::error!(partition = k, error = %Chain(error), "the projector of a partition stopped");
            });
            // One that failed stays visible.
            if ended.is_ok() {
                component.remove();
                progress.end(k);
            }
            ended
        });
        self.running.insert(k, (own, handle));
        self.tell();
    }

    fn end(&mut self, k: u32) {
        let Some((stop, handle)) = self.running.remove(&k) else { return };
        stop.request();
        self.tell();
        let deadline = Instant::now() + ENDS_WITHIN;
        while !handle.has_ended() {
            if Instant::now() > deadline {
                tracing::warn!(
                    partition = k,
                    "a projector still holds a batch although its partition has moved"
                );
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn end_all(&mut self) {
        // All at once: they end side by side.
        self.running.values().for_each(|(stop, _)| stop.request());
        let all: Vec<u32> = self.running.keys().copied().collect();
        all.into_iter().for_each(|k| self.end(k));
    }

    fn tell(&self) {
        self.assigned.send_replace(self.running.keys().copied().collect());
    }
}
