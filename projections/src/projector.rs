//! Runs the projections: one thread per partition, from the checkpoint on, in atomic batches; and beside them, one thread per
//! partition for every table that is built anew.

mod assignment;
mod building;
mod coordinator;
mod letters;
mod partition;
mod requests;
mod table;

use std::sync::Arc;

use event_log::Log;
use read_store::ReadStore;
use serde::{Deserialize, Serialize};
use service_kit::{Backoff, ByteSize, Health, Millis, TaskHandle, Tasks};
use tokio::sync::watch;

use self::assignment::Assignment;
use self::coordinator::Coordinator;
use self::partition::Shared;
use crate::views::{ViewStates, Views};
use crate::{Catalogue, Error, Progress};

/// The projector's limits. Unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProjectorConfig {
    /// Most events of one batch; the log's `read_bytes_max` bounds its bytes. A batch never waits to become larger.
    /// 2,000 by default.
    pub batch_events_max: usize,
    /// Most rows that each table keeps in memory between batches, per partition. 1,000 by default.
    pub cache_rows_max: usize,
    /// Most events of a projection and partition of a topic that wait in the dead letters; the projection waits in front of the
    /// next one. 1,000 by default.
    pub dead_letters_max: usize,
    /// Most bytes of their records. 16 MiB by default.
    pub dead_letter_bytes_max: ByteSize,
    /// How long a read waits for an event before it looks whether to stop. 200 ms by default.
    pub read_timeout_ms: Millis,
    /// How often a process that only answers queries reads how far the projectors elsewhere are. 100 ms by default.
    pub poll_interval_ms: Millis,
    /// How often the lag is measured, and how often operators' requests are looked for. 1,000 ms by default.
    pub lag_interval_ms: Millis,
    /// A partition whose loop has not gone round for so long is no longer healthy. 60,000 ms by default.
    pub stalled_after_ms: Millis,
    /// Pauses after a failure of the log or the store. Half a second to half a minute by default, without an end.
    pub backoff: Backoff,
}

impl Default for ProjectorConfig {
    fn default() -> Self {
        Self {
            batch_events_max: 2_000,
            cache_rows_max: 1_000,
            dead_letters_max: 1_000,
            dead_letter_bytes_max: ByteSize::mebibytes(16),
            read_timeout_ms: Millis::new(200),
            poll_interval_ms: Millis::new(100),
            lag_interval_ms: Millis::new(1_000),
            stalled_after_ms: Millis::new(60_000),
            backoff: Backoff {
                initial_ms: Millis::new(500),
                max_ms: Millis::new(30_000),
                attempts_max: u32::MAX,
            },
        }
    }
}

/// Who fills the views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// This process alone: the store is its own.
    Alone,
    /// Several processes on one store; each partition is one process's at a time, as the group of the projectors says.
    Group,
}

/// The projections, ready to run.
pub struct Projector {
    shared: Shared,
    views: Views,
    states: watch::Sender<ViewStates>,
}

impl Projector {
    /// Reads the checkpoints, so that [`Projector::progress`] is right from the start.
    pub async fn open(
        log: Arc<dyn Log>,
        store: Arc<dyn ReadStore>,
        catalogue: Catalogue,
        config: ProjectorConfig,
    ) -> Result<Self, Error> {
        if config.batch_events_max == 0 {
            return Err(Error::Config { reason: "batch_events_max must not be 0" });
        }
        let progress = Progress::new(log.topics().clone(), log.partitions(), &catalogue);
        let views = Views::new(Arc::clone(&store), catalogue.clone());
        let states = views.states().await?;
        for (table, _) in catalogue.tables() {
            let serving = states.serving(table);
            let stored = store.checkpoints(serving).await?;
            progress.switch(serving, &stored);
            progress.advance(&stored);
        }
        let (states, receiver) = watch::channel(states);
        Ok(Self {
            shared: Shared { log, store, catalogue, config, progress, views: receiver },
            views,
            states,
        })
    }

    /// How far it is; for the query API.
    pub fn progress(&self) -> Progress {
        self.shared.progress.clone()
    }

    /// Starts one thread per partition of this process's share, `projector-<k>`, each with a component of that name in `health`,
    /// and the task `views-builds`, which has tables built anew when an operator wants it.
    ///
    /// Failures of the log and the store are retried from the checkpoint. An event that cannot be folded goes to the dead
    /// letters, and what has its key waits.
    pub fn start(self, sharing: Sharing, tasks: &Tasks, health: &Health) -> Vec<TaskHandle> {
        let (assignment, assigned) = Assignment::new(self.shared.clone(), tasks.clone(), health.clone());
        let coordinator = Coordinator::new(self.shared, self.views, self.states, assigned, tasks.clone());
        let mut handles = match sharing {
            Sharing::Alone => assignment.all(),
            Sharing::Group => vec![assignment.of_group()],
        };
        handles.extend(coordinator.start());
        handles
    }
}
