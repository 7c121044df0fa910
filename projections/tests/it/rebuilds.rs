//! Tables that are built anew beside those that serve.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::bed::{
    PARTITIONS, SOON, config, documents, documents_of, eventually, open_log, open_store, start_with,
};
use crate::test_support::{append, shop};
use projections::{
    Catalogue, FoldError, Key, Orders, Projection, Purpose, RowId, STANDARD_TABLES, ServingStore, ViewError,
    ViewState, Views,
};
use read_store::{Change, ChangeBatch, ReadStore, RowKey, Table};
use schemas::{AggregateType, RecordedEvent};

const STEPS: &[u8] = &[0, 1, 2, 3, 5, 6, 7, 11, 34, 18, 3, 19, 27, 43, 2, 10, 7, 5, 3, 3, 11, 8, 16];

async fn reached(views: &Views, what: &str, name: &str, test: impl Fn(&ViewState) -> bool) -> ViewState {
    eventually(what, async || {
        let state = views.get(name).await.unwrap();
        test(&state).then_some(state)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_projection_is_rebuilt_under_readers_and_writers_and_nobody_sees_an_older_document() {
    let shop = shop(PARTITIONS, STEPS);
    let folder = tempfile::tempdir().unwrap();
    let (log, store) = (open_log(&folder), open_store(&folder));
    let (early, late) = shop.events().split_at(shop.events().len() / 2);
    let first = append(&*log, early);
    let running = start_with(&log, &store, Catalogue::standard(), config(3)).await;
    running.progress.wait(STANDARD_TABLES, &first, SOON).await.unwrap();
    let views = Views::new(Arc::clone(&store), Catalogue::standard());
    for table in STANDARD_TABLES {
        views.build(table.name(), Purpose::Replace).await.unwrap();
        let again = views.build(table.name(), Purpose::Replace).await;
        assert!(matches!(again, Err(ViewError::Building { generation: 2, .. })), "{again:?}");
    }
    // Readers: the rows of every order never go back, nor does what is told of positions.
    let serving: Arc<dyn ReadStore> =
        Arc::new(ServingStore::new(Arc::clone(&store), running.progress.clone()));
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (serving, progress, done) =
                (Arc::clone(&serving), running.progress.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut seen: std::collections::HashMap<String, u64> = Default::default();
                let mut told = progress.positions(STANDARD_TABLES);
                let mut reads = 0;
                while !done.load(Ordering::Relaxed) {
                    let now = progress.positions(STANDARD_TABLES);
                    for position in told.iter() {
                        assert!(now.offset(&position.topic, position.partition) >= Some(position.offset));
                    }
                    for row in serving.scan_table(Orders::TABLE, None, 1_000).await.unwrap().rows {
                        let last = seen.entry(row.partition_key).or_insert(0);
                        assert!(row.last_offset >= *last, "an older document");
                        *last = row.last_offset;
                    }
                    assert!(seen.len() > 2);
                    told = now;
                    reads += 1;
                    tokio::task::yield_now().await;
                }
                reads
            })
        })
        .collect();
    // A writer.
    let mut last = first.clone();
    for events in late.chunks(5) {
        last.extend(append(&*log, events).iter());
        running.progress.wait(STANDARD_TABLES, &last, SOON).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
    for table in STANDARD_TABLES {
        let state = reached(&views, "serving", table.name(), |state| state.serving == 2).await;
        let found = state.last_comparison.unwrap();
        assert_eq!((found.differing, state.retired), (0, Some(1)), "{table}: {found:?}");
        assert!(found.rows > 0 || table.name() == "cart", "the history has no carts");
        eventually("turning", async || (running.progress.serving(*table).generation() == 2).then_some(()))
            .await;
    }
    running.progress.wait(STANDARD_TABLES, &last, SOON).await.unwrap();
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    // The one that served before follows until it is dropped.
    let new = documents(&store, 2).await;
    eventually("following", async || (documents(&store, 1).await == new).then_some(())).await;
    let refused = views.build("order", Purpose::Replace).await;
    assert!(matches!(refused, Err(ViewError::Retired { generation: 1, .. })), "{refused:?}");
    assert_eq!(views.drop("order").await.unwrap().retired, None);
    eventually("going", async || documents_of(&store, Orders::TABLE).await.is_empty().then_some(())).await;
    assert!(matches!(views.drop("order").await, Err(ViewError::Nothing { .. })));
    running.stop().await;
    // A restart begins with what serves.
    let running = start_with(&log, &store, Catalogue::standard(), config(3)).await;
    assert_eq!(running.progress.serving(Orders::TABLE).generation(), 2);
    running.progress.wait(STANDARD_TABLES, &last, SOON).await.unwrap();
    running.stop().await;
    assert_eq!(documents(&store, 2).await, new);
    log.close();
}

/// How many events every order has; once `CHANGED`, deliveries count twice.
struct Counts;
static CHANGED: AtomicBool = AtomicBool::new(false);

impl Projection for Counts {
    type Document = u64;
    const TABLE: Table = Table::new("count", 1);
    const TOPICS: &'static [AggregateType] = &[AggregateType::Order];
    const KEY: Key = Key::Stream;

    fn rows(event: &RecordedEvent, rows: &mut Vec<RowId>) {
        rows.push(RowId::of(event.metadata.stream.id()));
    }

    fn fold(_: &RowId, document: Option<u64>, event: &RecordedEvent) -> Result<Option<u64>, FoldError> {
        let doubles = CHANGED.load(Ordering::Relaxed) && event.event.ce_type().contains("delivered");
        Ok(Some(document.unwrap_or(0) + if doubles { 2 } else { 1 }))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_projection_shows_the_keys_that_differ_and_waits_for_a_decision() {
    let shop = shop(PARTITIONS, STEPS);
    let folder = tempfile::tempdir().unwrap();
    let (log, store) = (open_log(&folder), open_store(&folder));
    let all = append(&*log, shop.events());
    let catalogue = || Catalogue::new().with::<Counts>();
    let views = Views::new(Arc::clone(&store), catalogue());
    let running = start_with(&log, &store, catalogue(), config(3)).await;
    running.progress.wait(&[Counts::TABLE], &all, SOON).await.unwrap();
    running.stop().await;

    CHANGED.store(true, Ordering::Relaxed);
    let running = start_with(&log, &store, catalogue(), config(3)).await;
    views.build("count", Purpose::Replace).await.unwrap();
    let compared = |state: &ViewState| state.building.as_ref().is_some_and(|b| b.comparison.is_some());
    let state = reached(&views, "comparing", "count", compared).await;
    let found = state.last_comparison.clone().unwrap();
    let delivered = |event: &&RecordedEvent| event.event.ce_type() == "millrace.order.delivered.v1";
    let mut expected: Vec<_> =
        shop.events().iter().filter(delivered).map(|e| e.metadata.stream.id().to_owned()).collect();
    expected.sort();
    let mut differing: Vec<_> = found.keys.iter().map(|row| row.partition_key.clone()).collect();
    differing.sort();
    assert_eq!(differing, expected);
    assert_eq!(found.differing, expected.len() as u64);
    assert_eq!(state.serving, 1, "an operator decides");

    // Dropped, it leaves nothing; another one gets another number, and is accepted.
    views.drop("count").await.unwrap();
    eventually("going", async || documents_count(&store, 2).await.eq(&0).then_some(())).await;
    views.build("count", Purpose::Replace).await.unwrap();
    reached(&views, "comparing", "count", compared).await;
    views.accept("count").await.unwrap();
    reached(&views, "serving", "count", |state| state.serving == 3).await;
    eventually("turning", async || (running.progress.serving(Counts::TABLE).generation() == 3).then_some(()))
        .await;
    running.stop().await;
    log.close();
}

async fn documents_count(store: &Arc<dyn ReadStore>, generation: u32) -> usize {
    store.scan_table(Counts::TABLE.of_generation(generation), None, 10_000).await.unwrap().rows.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_is_interrupted_goes_on_and_a_falsified_row_is_found() {
    let shop = shop(PARTITIONS, STEPS);
    let folder = tempfile::tempdir().unwrap();
    let (log, store) = (open_log(&folder), open_store(&folder));
    let all = append(&*log, shop.events());
    let views = Views::new(Arc::clone(&store), Catalogue::standard());
    let running = start_with(&log, &store, Catalogue::standard(), config(2)).await;
    running.progress.wait(STANDARD_TABLES, &all, SOON).await.unwrap();
    // Somebody changes a row by hand, at the event where it is.
    let victim = store.scan_table(Orders::TABLE, None, 3).await.unwrap().rows.pop().unwrap();
    let text = String::from_utf8(victim.document.to_vec()).unwrap();
    let falsified = text.replacen("\"country\":\"", "\"country\":\"X", 1);
    assert_ne!(text, falsified);
    let key = RowKey::new(Orders::TABLE, &*victim.partition_key, "");
    let change = Change::put(key, falsified, victim.source, victim.last_offset);
    store.apply(ChangeBatch { changes: vec![change], checkpoints: vec![] }).await.unwrap();

    views.build("order", Purpose::Verify).await.unwrap();
    views.build("stream", Purpose::Verify).await.unwrap();
    eventually("beginning", async || {
        (!store.checkpoints(Orders::TABLE.of_generation(2)).await.unwrap().is_empty()).then_some(())
    })
    .await;
    running.stop().await;
    let before = store.checkpoints(Orders::TABLE.of_generation(2)).await.unwrap();
    let running = start_with(&log, &store, Catalogue::standard(), config(2)).await;
    let state = reached(&views, "comparing", "order", |state| state.last_comparison.is_some()).await;
    assert!(!before.is_empty());
    let found = state.last_comparison.unwrap();
    assert_eq!((found.differing, state.serving, state.building), (1, 1, None));
    assert_eq!(
        (&found.keys[0].partition_key, &found.keys[0].members[..]),
        (&victim.partition_key, &["/country".to_owned()][..])
    );
    let streams = reached(&views, "comparing", "stream", |state| state.last_comparison.is_some()).await;
    assert_eq!(streams.last_comparison.unwrap().differing, 0);
    eventually("going", async || {
        documents_of(&store, Orders::TABLE.of_generation(2)).await.is_empty().then_some(())
    })
    .await;
    running.stop().await;
    log.close();
}
