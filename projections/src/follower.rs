//! Views that another process fills: how far they are is read from their store.

use std::sync::Arc;
use std::time::Duration;

use event_log::Log;
use read_store::ReadStore;
use service_kit::{Chain, Health, OnError, TaskHandle, Tasks};

use crate::views::{self, Views};
use crate::{Catalogue, Error, Progress, ProjectorConfig};

/// How long one round may go without an answer before the component counts as stalled, at least.
const STALLED_ROUNDS: u32 = 10;

/// Keeps a [`Progress`] at the stored checkpoints, for queries in a process that does not fill the views, or not alone.
pub struct Follower {
    store: Arc<dyn ReadStore>,
    views: Views,
    poll_interval: Duration,
    stalls_after: Duration,
    progress: Progress,
}

impl Follower {
    /// Reads the checkpoints, so that [`Follower::progress`] is right from the start. The log says which topics there are.
    pub async fn open(
        log: &dyn Log,
        store: Arc<dyn ReadStore>,
        catalogue: Catalogue,
        config: &ProjectorConfig,
    ) -> Result<Self, Error> {
        let progress = Progress::new(log.topics().clone(), log.partitions(), &catalogue);
        Self::beside(progress, store, catalogue, config).await
    }

    /// As [`Follower::open`], in a process whose projectors keep `progress` for their own share of the partitions.
    pub async fn beside(
        progress: Progress,
        store: Arc<dyn ReadStore>,
        catalogue: Catalogue,
        config: &ProjectorConfig,
    ) -> Result<Self, Error> {
        let poll_interval = config.poll_interval_ms.duration();
        let stalls_after = config.stalled_after_ms.duration().max(poll_interval * STALLED_ROUNDS);
        let views = Views::new(Arc::clone(&store), catalogue);
        // Nobody has seen anything yet: whatever serves may be read at once.
        let states = views.states().await?;
        for (table, _) in states.iter() {
            progress.switch(states.serving(table), &[]);
        }
        let follower = Self { store, views, poll_interval, stalls_after, progress };
        follower.read().await?;
        Ok(follower)
    }

    /// How far the views are; for the query API.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Starts the task `views`, with a component of that name in `health`. A store that does not answer is asked again.
    pub fn start(self, tasks: &Tasks, health: &Health) -> TaskHandle {
        let component = health.component_with_progress("views", self.stalls_after);
        component.ready();
        let stop = tasks.stop();
        tasks.spawn("views", OnError::Log, async move {
            let mut was_told = false;
            loop {
                tokio::select! {
                    () = stop.requested() => return Ok::<_, Error>(()),
                    () = tokio::time::sleep(self.poll_interval) => {}
                }
                match self.read().await {
                    Ok(()) => {
                        component.progress();
                        if std::mem::take(&mut was_told) {
                            component.ready();
                            tracing::info!("the views' store answers again");
                        }
                    }
                    Err(error) => {
                        let reason = Chain(&error).to_string();
                        if !std::mem::replace(&mut was_told, true) {
                            tracing::warn!(
                                reason,
                                "how far the views are cannot be read; it is tried further"
                            );
                        }
                        component.degraded(reason);
                    }
                }
            }
        })
    }

    async fn read(&self) -> Result<(), Error> {
        let states = self.views.states().await?;
        views::follow_serving(&states, &*self.store, &self.progress).await?;
        for (table, _) in states.iter() {
            let serving = states.serving(table);
            // Not those of a generation that readers are about to leave: it must not get ahead of the next one for ever.
            if self.progress.serving(table) == serving {
                self.progress.advance(&self.store.checkpoints(serving).await?);
            }
        }
        Ok(())
    }
}
