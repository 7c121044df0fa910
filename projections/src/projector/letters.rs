//! The dead letters of one projection and source, as its projector keeps them in memory: offsets and keys, not records.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use event_log::Record;
use read_store::{ReadStore, RowKey, Source};

use crate::dead_letter::{DEAD_LETTERS, DeadLetter, LetterId, LetterState};
use crate::{Error, ProjectorConfig};

/// Letters read at once.
const PAGE: usize = 1_000;

/// Where a projection waits in front of an event that it cannot take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) offset: u64,
    pub(super) reason: String,
}

/// The letters of one projection and source.
#[derive(Default)]
pub(super) struct Letters {
    /// Offsets of the letters by stream, in order: the first is parked, the others wait behind it.
    waiting: HashMap<Bytes, Vec<u64>>,
    skipped: BTreeSet<u64>,
    hold: Option<Hold>,
    /// The stored letter of an event in front of which the projection waited when it was last run.
    stored_hold: Option<DeadLetter>,
    events: usize,
    bytes: usize,
}

impl Letters {
    pub(super) async fn load(
        store: &dyn ReadStore,
        projection: &str,
        source: &Source,
    ) -> Result<Self, Error> {
        let partition_key = LetterId::partition_key(projection, source);
        let (mut letters, mut from) = (Self::default(), String::new());
        loop {
            let rows = store.scan(DEAD_LETTERS, &partition_key, &from, PAGE).await?;
            let Some(last) = rows.last() else { break };
            // No sort key lies between one and itself with the lowest character behind it.
            from = format!("{}\u{1}", last.sort_key);
            let is_last_page = rows.len() < PAGE;
            for row in &rows {
                let letter = DeadLetter::read(row)?;
                match letter.state {
                    LetterState::Parked | LetterState::Queued => letters.add(&letter.record()?),
                    LetterState::Skipped => letters.skip(letter.record.position.offset),
                    LetterState::Holding | LetterState::Blocked => letters.stored_hold = Some(letter),
                }
            }
            if is_last_page {
                break;
            }
        }
        Ok(letters)
    }

    /// Only what is skipped: for a table that is built anew, which has to take everything else.
    pub(super) fn only_skipped(self) -> Self {
        Self { skipped: self.skipped, ..Self::default() }
    }

    /// Whether operators can do something about them.
    pub(super) fn are_open(&self) -> bool {
        !self.waiting.is_empty() || self.hold.is_some()
    }

    pub(super) fn waits(&self, key: &Bytes) -> bool {
        !self.waiting.is_empty() && self.waiting.contains_key(key)
    }

    pub(super) fn is_skipped(&self, offset: u64) -> bool {
        !self.skipped.is_empty() && self.skipped.contains(&offset)
    }

    /// Where the projection waits.
    pub(super) fn hold(&self) -> Option<&Hold> {
        self.hold.as_ref()
    }

    /// Why there is no room for `record`, beside `events` and `bytes` that are to be added as well.
    pub(super) fn no_room(
        &self,
        record: &Record,
        (events, bytes): (usize, usize),
        config: &ProjectorConfig,
    ) -> Option<String> {
        let full = |what: &str, limit: &dyn std::fmt::Display| {
            format!("{} dead letters wait already, and {what} ({limit}) leaves room for no more", self.events)
        };
        if self.events + events >= config.dead_letters_max {
            return Some(full("dead_letters_max", &config.dead_letters_max));
        }
        let bytes_max = config.dead_letter_bytes_max.as_usize();
        (self.bytes + bytes + record.size_bytes() > bytes_max)
            .then(|| full("dead_letter_bytes_max", &config.dead_letter_bytes_max))
    }

    /// The event of `record` is parked or waits; returns the letter to write. It takes the place of the one that told of a hold.
    pub(super) fn set_aside(
        &mut self,
        projection: &str,
        record: &Record,
        state: LetterState,
        reason: Option<String>,
    ) -> DeadLetter {
        self.add(record);
        let held = self.stored_hold.take_if(|held| held.record.position.offset == record.position.offset);
        let letter = DeadLetter::new(projection, record, state, reason);
        match held {
            Some(held) => {
                DeadLetter { revision: held.revision + 1, requests_done: held.requests_done, ..letter }
            }
            None => letter,
        }
    }

    fn add(&mut self, record: &Record) {
        self.waiting.entry(record.key.clone()).or_default().push(record.position.offset);
        self.events += 1;
        self.bytes += record.size_bytes();
    }

    pub(super) fn skip(&mut self, offset: u64) {
        self.skipped.insert(offset);
    }

    /// The projection waits in front of `record`. Returns the letter to write, none when it is there already.
    pub(super) fn hold_at(
        &mut self,
        projection: &str,
        record: &Record,
        state: LetterState,
        reason: String,
    ) -> Option<DeadLetter> {
        let offset = record.position.offset;
        self.hold = Some(Hold { offset, reason: reason.clone() });
        let stored = self.stored_hold.take().filter(|letter| letter.record.position.offset == offset);
        let letter = match stored {
            Some(letter) if letter.state == state && letter.reason.as_ref() == Some(&reason) => {
                self.stored_hold = Some(letter);
                return None;
            }
            Some(letter) => {
                DeadLetter { revision: letter.revision + 1, state, reason: Some(reason), ..letter }
            }
            None => DeadLetter::new(projection, record, state, Some(reason)),
        };
        self.stored_hold = Some(letter.clone());
        Some(letter)
    }

    /// The projection has gone past `next_offset`: the letter of the event in front of which it waited, if there was one.
    pub(super) fn passed(&mut self, next_offset: u64) -> Option<DeadLetter> {
        self.stored_hold.take_if(|letter| letter.record.position.offset < next_offset)
    }

    /// The letter of the hold, which ends: the projection reads the event again, or skips it.
    pub(super) fn stored_hold(&self) -> Option<&DeadLetter> {
        self.stored_hold.as_ref()
    }

    /// The offsets that wait with the event at `offset`, if it is the first of its stream.
    pub(super) fn behind(&self, offset: u64) -> Option<(&Bytes, &[u64])> {
        let found = self.waiting.iter().find(|(_, offsets)| offsets.first() == Some(&offset));
        found.map(|(key, offsets)| (key, &offsets[..]))
    }

    /// The first `count` letters of a stream are no longer waiting.
    pub(super) fn drained(&mut self, key: &Bytes, count: usize, bytes: usize) {
        let Some(offsets) = self.waiting.get_mut(key) else { return };
        offsets.drain(..count);
        if offsets.is_empty() {
            self.waiting.remove(key);
        }
        self.events -= count;
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// The keys of the stored letters at `offsets`.
    pub(super) fn row_keys(projection: &str, source: &Source, offsets: &[u64]) -> Vec<RowKey> {
        let partition_key = LetterId::partition_key(projection, source);
        let key = |offset: &u64| RowKey::new(DEAD_LETTERS, &*partition_key, LetterId::sort_key(*offset));
        offsets.iter().map(key).collect()
    }

    /// How many streams wait, how many events of them, how many are skipped.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        (self.waiting.len(), self.events, self.skipped.len())
    }
}
