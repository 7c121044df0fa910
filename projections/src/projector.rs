//! Runs the projections: one thread per partition, from the checkpoint on, in atomic batches.

mod partition;

use std::sync::Arc;

use event_log::Log;
use read_store::ReadStore;
use serde::{Deserialize, Serialize};
use service_kit::{Backoff, Chain, Health, Millis, OnError, TaskHandle, Tasks};

use self::partition::PartitionProjector;
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
    /// How long a read waits for an event before it looks whether to stop. 200 ms by default.
    pub read_timeout_ms: Millis,
    /// How often a process that only answers queries reads how far the projectors elsewhere are. 100 ms by default.
    pub poll_interval_ms: Millis,
    /// How often the lag is measured. 1,000 ms by default.
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

/// The projections, ready to run.
pub struct Projector {
    log: Arc<dyn Log>,
    store: Arc<dyn ReadStore>,
    catalogue: Catalogue,
    config: ProjectorConfig,
    progress: Progress,
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
        for (table, _) in catalogue.tables() {
            progress.advance(&store.checkpoints(table).await?);
        }
        Ok(Self { log, store, catalogue, config, progress })
    }

    /// How far it is; for the query API.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Starts one thread per partition, `projector-<k>`, each with a component of that name in `health`.
    ///
    /// Failures of the log and the store are retried from the checkpoint. An event that cannot be folded stops its
    /// partition: the error is logged, the component fails, the other partitions go on.
    pub fn start(self, tasks: &Tasks, health: &Health) -> Vec<TaskHandle> {
        (0..self.log.partitions())
            .map(|k| {
                let name = format!("projector-{k}");
                let component = health.component_with_progress(name.clone(), self.config.stalled_after_ms.duration());
                let mut projector = PartitionProjector::new(
                    k,
                    Arc::clone(&self.log),
                    Arc::clone(&self.store),
                    &self.catalogue,
                    self.config.clone(),
                    self.progress.clone(),
                );
                tasks.spawn_thread(name, OnError::Log, move |stop| {
                    projector.run(&stop, &component).inspect_err(|error| {
                        tracing::error!(partition = k, error = %Chain(error), "the projector of a partition stopped");
                    })
                })
            })
            .collect()
    }
}
