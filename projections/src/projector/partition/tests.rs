//! Batches and redelivery do not matter; what cannot be folded is an error with its position.

use std::collections::BTreeMap;

use event_log::{Headers, Topics};
use proptest::prelude::*;
use read_store::{FjallConfig, FjallStore, PageCursor};
use schemas::{Position, RecordedEvent};

use super::*;
use crate::test_support::{NAMESPACE, Recorder, shop};
use crate::{Catalogue, FoldError, Key, Orders, Projection, STANDARD_TABLES};

struct Bench {
    store: FjallStore,
    partition: u32,
    tables: Vec<TableState>,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new(partition: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store =
            FjallStore::open(FjallConfig { path: folder.path().into(), ..FjallConfig::default() }).unwrap();
        Self { store, partition, tables: Vec::new(), _folder: folder }
    }

    /// Forgets what is in memory, and how far the tables are.
    async fn restart(&mut self) {
        let topics = Topics::new(NAMESPACE);
        self.tables.clear();
        for folder in Catalogue::standard().folders(|_| 1) {
            let topic = |aggregate| topics.events(aggregate).clone();
            let opening = TableState::open(folder, &self.store, topic, self.partition, OnPoison::Stop);
            let (mut table, _) = opening.await.unwrap();
            table.topics.values_mut().for_each(|topic| topic.next_offset = 0);
            self.tables.push(table);
        }
    }

    /// What a projector does with a batch, whatever the checkpoints say.
    async fn apply(&mut self, events: &[RecordedEvent]) -> Result<(), Error> {
        if self.tables.is_empty() {
            self.restart().await;
        }
        let items: Vec<_> = events.iter().map(item).collect();
        let config = ProjectorConfig::default();
        let mut batch = ChangeBatch::default();
        let mut ends: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for event in events {
            ends.insert(event.position.topic.clone(), event.position.offset + 1);
        }
        let cursors: Vec<_> = ends
            .into_iter()
            .map(|(topic, next_offset)| Cursor { topic, partition: self.partition, next_offset })
            .collect();
        for table in &mut self.tables {
            table.fold(&items, &self.store, &config, OnPoison::Stop, &mut batch).await?;
            table.advance(&cursors, &mut batch);
        }
        self.store.apply(batch).await.unwrap();
        for table in &mut self.tables {
            table.folder.trim(3);
        }
        Ok(())
    }

    async fn dump(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for table in STANDARD_TABLES {
            let mut after: Option<PageCursor> = None;
            loop {
                let page = self.store.scan_table(*table, after.as_ref(), 500).await.unwrap();
                for row in page.rows {
                    let key = format!("{table} {} {}", row.partition_key, row.sort_key);
                    let document = String::from_utf8(row.document.to_vec()).unwrap();
                    all.insert(key, format!("{document} {} {}", row.source, row.last_offset));
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        all
    }
}

fn item(event: &RecordedEvent) -> Item {
    let record = Record {
        position: event.position.clone(),
        timestamp: event.metadata.recorded_at,
        key: event.metadata.stream.id().to_owned().into(),
        headers: Headers::new(),
        value: bytes::Bytes::new(),
    };
    Item { record, aggregate: event.event.aggregate_type(), event: Ok(event.clone()) }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn of_partition(shop: &Recorder, partition: u32) -> Vec<RecordedEvent> {
    shop.events().iter().filter(|event| event.position.partition == partition).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn batches_and_redelivery_and_restarts_do_not_matter(
        steps in proptest::collection::vec(any::<u8>(), 1..25),
        cuts in proptest::collection::vec((1_usize..40, 0_usize..30, any::<bool>()), 1..12),
    ) {
        let events = of_partition(&shop(2, &steps), 1);
        let (whole, pieces) = run(async {
            let mut once = Bench::new(1);
            once.apply(&events).await.unwrap();
            let mut bench = Bench::new(1);
            let (mut end, mut cuts) = (0, cuts.iter().cycle());
            while end < events.len() {
                let (length, overlap, restart) = cuts.next().unwrap();
                let from = end.saturating_sub(*overlap);
                end = (end + length).min(events.len());
                if *restart {
                    bench.restart().await;
                }
                bench.apply(&events[from..end]).await.unwrap();
            }
            (once.dump().await, bench.dump().await)
        });
        prop_assert!(!whole.is_empty());
        prop_assert_eq!(whole, pieces);
    }
}

#[test]
fn a_stream_without_its_beginning_is_an_error_with_its_position() {
    let shop = shop(1, &[3]);
    let headless: Vec<_> =
        shop.events().iter().filter(|e| e.event.ce_type() != "millrace.order.placed.v1").cloned().collect();
    let error = run(async { Bench::new(0).apply(&headless).await.unwrap_err() });
    let Error::Unfoldable { position, row, source } = error else { panic!("{error}") };
    assert_eq!(position.to_string(), "shop.order.events/0@1");
    assert_eq!(row, "order_v1[536366]");
    assert!(matches!(source, FoldError::NotStarted { .. }));
}

#[test]
fn a_second_source_of_a_row_is_refused() {
    let shop = shop(1, &[3]);
    let mut events = shop.events().to_vec();
    let last = events.iter_mut().rfind(|e| e.event.ce_type() == "millrace.order.delivered.v1").unwrap();
    last.position =
        Position { topic: last.position.topic.clone(), partition: 7, offset: last.position.offset };
    let error = run(async { Bench::new(0).apply(&events).await.unwrap_err() });
    let Error::Unfoldable { source, row, .. } = error else { panic!("{error}") };
    assert!(matches!(source, FoldError::SecondSource { .. }), "{source}");
    assert!(row.starts_with(&Orders::TABLE.to_string()));
}

#[test]
fn rows_of_projections_by_stream_are_never_made_of_two_streams() {
    let shop = shop(3, &(0..=255).collect::<Vec<u8>>());
    for folder in &mut Catalogue::standard().folders(|_| 1) {
        let mut owners: BTreeMap<String, String> = BTreeMap::new();
        let topics = folder.topics();
        for event in shop.events().iter().filter(|e| topics.contains(&e.event.aggregate_type())) {
            let mut rows = Vec::new();
            folder.forget();
            folder.collect(&[event], &mut rows);
            for row in rows {
                let stream = event.metadata.stream.to_string();
                let owner = owners.entry(row.to_string()).or_insert_with(|| stream.clone());
                assert!(folder.key() == Key::Partition || *owner == stream, "{row}: {owner} and {stream}");
            }
        }
    }
}
