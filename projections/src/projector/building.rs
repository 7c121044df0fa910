//! One partition of a table beside the serving one: built from the beginning, then kept up to date.
//!
//! What lies between is no different from serving: the same folds from the same checkpoints, so that a build that was killed
//! goes on where it was. It waits while the serving tables are behind, and stops at an event that cannot be folded.

use std::collections::BTreeMap;
use std::time::Duration;

use read_store::{ChangeBatch, Table};
use schemas::Retry;
use service_kit::{AfterPause, Chain, Stop};
use tokio::runtime::Handle;

use super::partition::{Shared, check_ends, decode};
use super::table::{OnPoison, TableState};
use crate::views::Views;
use crate::{Error, PartitionState};

/// How long a build waits before it looks again whether the serving tables have caught up.
const YIELD: Duration = Duration::from_millis(20);

pub(super) struct Building {
    pub(super) partition: u32,
    pub(super) table: Table,
    pub(super) shared: Shared,
    pub(super) views: Views,
}

impl Building {
    /// Builds and follows until told to stop, or until somebody else does, or until an event cannot be folded.
    pub(super) fn run(&self, stop: &Stop) -> Result<(), Error> {
        let runtime = Handle::current();
        let mut pauses = self.shared.config.backoff.start();
        loop {
            let Err(error) = self.follow(stop) else { return Ok(()) };
            if stop.is_requested() {
                return Ok(());
            }
            let reason = Chain(&error).to_string();
            tracing::warn!(table = %self.table, partition = self.partition, reason, "a view's build is interrupted");
            if error.retry() == Retry::Never {
                return runtime.block_on(self.views.note_failure(self.table, self.partition, Some(&reason)));
            }
            match pauses.wait_blocking(None, stop) {
                AfterPause::Again => {}
                AfterPause::Stopped | AfterPause::Exhausted => return Ok(()),
            }
        }
    }

    fn follow(&self, stop: &Stop) -> Result<(), Error> {
        let runtime = Handle::current();
        let Shared { log, store, config, .. } = &self.shared;
        let Some(folder) = self.shared.catalogue.folder(self.table) else { return Ok(()) };
        let topic = |aggregate| log.topics().events(aggregate).clone();
        let opening = TableState::open(folder, &**store, topic, self.partition, OnPoison::Stop);
        let (mut table, _) = runtime.block_on(opening)?;
        let next: BTreeMap<_, _> = table.topics.iter().map(|(a, topic)| (*a, topic.next_offset)).collect();
        let cursors = check_ends(&**log, self.partition, next)?;
        let mut reader = log.open_reader(&cursors)?;
        runtime.block_on(self.views.note_failure(self.table, self.partition, None))?;
        while !stop.is_requested() {
            self.give_way(stop);
            let records = reader.read(config.batch_events_max, config.read_timeout_ms.duration())?;
            let items = decode(records, &**log);
            let mut batch = ChangeBatch::default();
            runtime.block_on(table.fold(&items, &**store, config, OnPoison::Stop, &mut batch))?;
            // Also without records: the end of a transaction is passed, too.
            table.advance(&reader.next_offsets(), &mut batch);
            if !batch.is_empty() {
                runtime.block_on(store.apply(batch))?;
                table.folder.trim(config.cache_rows_max);
            }
        }
        Ok(())
    }

    /// Waits while the serving tables of this partition have more than a batch before them.
    fn give_way(&self, stop: &Stop) {
        let is_behind = || {
            let statuses = self.shared.progress.statuses();
            statuses.iter().any(|status| {
                status.partition == self.partition
                    && status.state == PartitionState::Live
                    && status.lag_events > self.shared.config.batch_events_max as u64
            })
        };
        while is_behind() && !stop.is_requested() {
            std::thread::sleep(YIELD);
        }
    }
}
