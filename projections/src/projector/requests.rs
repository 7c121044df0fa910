//! Carrying out what operators want done with dead letters, on the thread that folds.

use event_log::Record;
use read_store::{ChangeBatch, ReadStore};
use schemas::{AggregateType, RecordedEvent};
use service_kit::{Chain, ComponentHealth};
use tokio::runtime::Handle;

use super::letters::Letters;
use super::partition::PartitionProjector;
use super::table::TableState;
use crate::dead_letter::{DeadLetter, LetterAction, LetterId, LetterRequest, LetterState, REQUESTS};
use crate::{Error, ProjectorConfig};

/// Requests read at once: a projection and source has few, since whoever asks waits.
const REQUESTS_MAX: usize = 1_000;

impl PartitionProjector {
    /// Looks for requests where something can be requested. Says whether the tables have to be opened again: a hold has ended.
    pub(super) fn carry_out_requests(&mut self, health: &ComponentHealth) -> Result<bool, Error> {
        let runtime = Handle::current();
        let (mut reopen, mut news) = (false, false);
        let store = &*self.shared.store;
        for table in &mut self.tables {
            let aggregates: Vec<_> = table.topics.keys().copied().collect();
            for aggregate in aggregates {
                if table.topics.get(&aggregate).is_none_or(|topic| !topic.letters.are_open()) {
                    continue;
                }
                for (offset, request) in runtime.block_on(table.requests(aggregate, store))? {
                    let doing = table.carry_out(aggregate, offset, &request, store, &self.shared.config);
                    reopen |= runtime.block_on(doing)?;
                    news = true;
                }
            }
        }
        if news {
            self.tell_health(health);
        }
        Ok(reopen)
    }
}

impl TableState {
    /// The requests about letters of a topic that are not carried out yet, with the letters' offsets.
    async fn requests(
        &self,
        aggregate: AggregateType,
        store: &dyn ReadStore,
    ) -> Result<Vec<(u64, LetterRequest)>, Error> {
        let Some(topic) = self.topics.get(&aggregate) else { return Ok(Vec::new()) };
        let partition_key = LetterId::partition_key(&self.projection, &topic.source);
        let mut open = Vec::new();
        for row in store.scan(REQUESTS, &partition_key, "", REQUESTS_MAX).await? {
            let Ok(offset) = row.sort_key.parse() else { continue };
            let letters = Letters::row_keys(&self.projection, &topic.source, &[offset]);
            let Some(stored) = store.get(&letters[0]).await? else { continue };
            let (letter, request) = (DeadLetter::read(&stored)?, LetterRequest::read(&row)?);
            let is_first = matches!(letter.state, LetterState::Parked | LetterState::Holding);
            if is_first && request.number > letter.requests_done {
                open.push((offset, request));
            }
        }
        Ok(open)
    }

    /// Does what is wanted with the letter at `offset`. Says whether a hold has ended.
    async fn carry_out(
        &mut self,
        aggregate: AggregateType,
        offset: u64,
        request: &LetterRequest,
        store: &dyn ReadStore,
        config: &ProjectorConfig,
    ) -> Result<bool, Error> {
        tracing::info!(
            projection = self.projection,
            offset,
            action = ?request.action,
            principal = request.principal,
            "an operator's request about a dead letter"
        );
        let Some(topic) = self.topics.get_mut(&aggregate) else { return Ok(false) };
        if let Some(held) = topic.letters.stored_hold().filter(|held| held.record.position.offset == offset) {
            let held = answered(held.clone(), request);
            let changes = vec![held.change()?];
            store.apply(ChangeBatch { changes, checkpoints: Vec::new() }).await?;
            return Ok(true);
        }
        let Some((key, offsets)) = topic.letters.behind(offset) else { return Ok(false) };
        let (key, offsets) = (key.clone(), offsets.to_vec());
        let mut letters = Vec::with_capacity(offsets.len());
        for row in store.get_many(&Letters::row_keys(&self.projection, &topic.source, &offsets)).await? {
            let row = row.ok_or_else(|| read_store::Error::Damaged {
                what: format!("a dead letter of {} at {} is gone", self.projection, topic.source),
            })?;
            letters.push(DeadLetter::read(&row)?);
        }
        let records = letters.iter().map(DeadLetter::record).collect::<Result<Vec<_>, _>>()?;
        let mut batch = ChangeBatch::default();
        let is_skip = request.action == LetterAction::Skip;
        if is_skip {
            batch.changes.push(answered(letters[0].clone(), request).change()?);
        }
        let first = usize::from(is_skip);
        let (taken, failure) = self.take(&records[first..], store, &mut batch).await?;
        let gone = first + taken;
        batch.changes.extend(letters[first..gone].iter().map(DeadLetter::removal));
        if let Some(reason) = failure {
            // The next of the stream that cannot be taken: the one that was asked for, or one behind it.
            let letter = &letters[gone];
            let parked = DeadLetter {
                state: LetterState::Parked,
                reason: Some(reason),
                revision: letter.revision + 1,
                requests_done: if gone == 0 { request.number } else { letter.requests_done },
                ..letter.clone()
            };
            batch.changes.push(parked.change()?);
        }
        store.apply(batch).await?;
        self.folder.trim(config.cache_rows_max);
        if let Some(topic) = self.topics.get_mut(&aggregate) {
            topic.letters.drained(&key, gone, records[..gone].iter().map(Record::size_bytes).sum());
            if is_skip {
                topic.letters.skip(offset);
            }
            // Whoever waits for room in the dead letters looks whether there is some.
            return Ok(gone > 0 && topic.letters.hold().is_some());
        }
        Ok(false)
    }

    /// Folds as many of a stream's records as can be folded, in order; adds the changed rows. Says how many, and why not the next.
    async fn take(
        &mut self,
        records: &[Record],
        store: &dyn ReadStore,
        batch: &mut ChangeBatch,
    ) -> Result<(usize, Option<String>), Error> {
        let mut events: Vec<RecordedEvent> = Vec::with_capacity(records.len());
        let mut failure = None;
        for record in records {
            match event_log::decode_event(record) {
                Ok(event) => events.push(event),
                Err(error) => {
                    failure = Some(format!(
                        "the record at {} cannot be read as an event: {}",
                        record.position,
                        Chain(&error)
                    ));
                    break;
                }
            }
        }
        loop {
            let folding: Vec<&RecordedEvent> = events.iter().collect();
            let Err(failed) = self.fold_all(&folding, store).await? else { break };
            self.folder.forget();
            let error = Error::Unfoldable {
                position: events[failed.index].position.clone(),
                row: failed.row,
                source: failed.source,
            };
            failure = Some(Chain(&error).to_string());
            events.truncate(failed.index);
        }
        self.folder.changes(&mut batch.changes)?;
        Ok((events.len(), failure))
    }
}

/// The letter once the request is carried out on it itself.
fn answered(letter: DeadLetter, request: &LetterRequest) -> DeadLetter {
    let (state, skipped_by) = match request.action {
        LetterAction::Skip => (LetterState::Skipped, Some(request.principal.clone())),
        LetterAction::Retry => (letter.state, None),
    };
    DeadLetter { state, skipped_by, requests_done: request.number, revision: letter.revision + 1, ..letter }
}
