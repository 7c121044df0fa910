//! Events that cannot be taken: what waits, what flows, and how operators settle it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::bed::{
    PARTITIONS, Running, SOON, config, documents, documents_of, ends, eventually, open_log, open_store,
    start_with, until,
};
use crate::test_support::{append, shop};
use event_log::{Batch, Headers, Log, NewRecord, Shard, partition_for};
use projections::{
    Catalogue, DeadLetter, DeadLetters, FoldError, Key, LetterAction, LetterState, PartitionState,
    Projection, ProjectorConfig, RequestError, RowId, STANDARD_TABLES,
};
use read_store::{ReadStore, Table};
use schemas::{AggregateType, Positions, RecordedEvent, Timestamp};

const STEPS: &[u8] = &[0, 1, 2, 3, 5, 6, 7, 11, 34, 18, 3, 19, 27, 43];

/// Appends what a foreign producer wrote by mistake under an order's key; says where it stands.
fn poison(log: &dyn Log, order: &str) -> schemas::Position {
    let partition = partition_for(order.as_bytes(), log.partitions());
    let record = NewRecord {
        topic: log.topics().events(AggregateType::Order).clone(),
        partition,
        key: order.to_owned().into(),
        headers: Headers::new(),
        value: "nonsense".into(),
        timestamp: Timestamp::from_millis(7),
    };
    let mut writer = log.open_writer(Shard::new(partition)).unwrap();
    writer.append(Batch::of(vec![record])).unwrap().position(0).clone()
}

async fn letters(store: &Arc<dyn ReadStore>) -> Vec<DeadLetter> {
    DeadLetters::new(Arc::clone(store)).page(None, 1_000).await.unwrap().0
}

/// Asks, and waits until it is carried out; the letter afterwards.
async fn settle(store: &Arc<dyn ReadStore>, letter: &DeadLetter, action: LetterAction) -> Option<DeadLetter> {
    let dead_letters = DeadLetters::new(Arc::clone(store));
    let number = dead_letters.request(&letter.id(), action, "ann").await.unwrap();
    eventually("carrying out a request", async || {
        let now = dead_letters.get(&letter.id()).await.unwrap();
        now.as_ref().is_none_or(|now| now.requests_done >= number).then_some(now)
    })
    .await
}

/// An order with events after the middle of the history, and none before.
fn late_order(late: &[RecordedEvent], early: &[RecordedEvent]) -> String {
    let id = |event: &RecordedEvent| event.metadata.stream.id().to_owned();
    let is_order = |event: &&RecordedEvent| event.event.aggregate_type() == AggregateType::Order;
    let known: Vec<_> = early.iter().map(id).collect();
    let count = |order: &String| late.iter().filter(is_order).filter(|event| id(event) == *order).count();
    let mut orders = late.iter().filter(is_order).map(id).filter(|order| !known.contains(order));
    orders.find(|order| count(order) > 3).expect("the history has such an order")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_record_parks_its_stream_holds_what_sums_up_and_is_skipped_for_ever() {
    let shop = shop(PARTITIONS, STEPS);
    let (early, late) = shop.events().split_at(shop.events().len() / 2);
    let order = late_order(late, early);
    let folder = tempfile::tempdir().unwrap();
    let (log, store) = (open_log(&folder), open_store(&folder));
    append(&*log, early);
    let at = poison(&*log, &order);
    let reached = append(&*log, late);
    let running = start_with(&log, &store, Catalogue::standard(), config(7)).await;
    // Projections by stream go on behind it; those that sum streams up wait in front of it, with this partition.
    let by_stream: Vec<Table> = STANDARD_TABLES
        .iter()
        .copied()
        .filter(|t| !["totals_by_day", "customer_order_sums"].contains(&t.name()))
        .collect();
    running.progress.wait(&by_stream, &reached, SOON).await.unwrap();
    let others: Positions = reached.iter().filter(|position| position.partition != at.partition).collect();
    running.progress.wait(STANDARD_TABLES, &others, SOON).await.unwrap();
    until("telling", || {
        running.projection("totals_by_day_v1", at.partition as usize).is_some_and(|p| !p.holds.is_empty())
    })
    .await;
    let status = |name: &str| running.projection(name, at.partition as usize).unwrap();
    until("telling of the parked key", || status("order_v1").parked_keys == 1).await;
    assert!(status("order_v1").waiting_events > 3);
    assert_eq!(status("totals_by_day_v1").holds[0].position, at);
    assert!(status("totals_by_day_v1").lag_events > 0, "the lag shows what waits");
    assert_eq!(status("order_v1").lag_events, 0);
    let health = running.health.report();
    assert!(health.ready, "everything else is served");
    let told = serde_json::to_string(&health.components).unwrap();
    assert!(told.contains("order_v1") && told.contains("totals_by_day_v1 waits in front of"), "{told}");
    let orders = documents_of(&store, projections::Orders::TABLE).await;
    assert!(!orders.is_empty() && orders.iter().all(|(key, _)| key.trim() != order), "its row waits");

    let all = letters(&store).await;
    let of = |name: &str| all.iter().filter(|l| l.projection == name).collect::<Vec<_>>();
    assert_eq!(of("order_v1")[0].state, LetterState::Parked);
    assert!(of("order_v1")[1..].iter().all(|letter| letter.state == LetterState::Queued));
    assert_eq!(of("totals_by_day_v1").iter().map(|l| l.state).collect::<Vec<_>>(), [LetterState::Holding]);
    let reason = of("order_v1")[0].reason.clone().unwrap();
    assert!(reason.contains(&at.to_string()), "{reason}");
    let (dead_letters, queued) = (DeadLetters::new(Arc::clone(&store)), of("order_v1")[1].id());
    let refused = dead_letters.request(&queued, LetterAction::Skip, "ann").await;
    assert!(matches!(refused, Err(RequestError::WrongState { state: LetterState::Queued, .. })));

    // Trying again changes nothing; a restart neither; leaving it out does.
    let parked = settle(&store, of("order_v1")[0], LetterAction::Retry).await.expect("it cannot be taken");
    assert_eq!(parked.state, LetterState::Parked);
    running.stop().await;
    let running = start_with(&log, &store, Catalogue::standard(), config(7)).await;
    running.progress.wait(&by_stream, &reached, SOON).await.unwrap();
    let first = |letter: &&DeadLetter| matches!(letter.state, LetterState::Parked | LetterState::Holding);
    let open: Vec<_> = letters(&store).await.into_iter().filter(|letter| first(&letter)).collect();
    assert!(open.len() >= 4, "{open:?}");
    for letter in &open {
        let skipped = settle(&store, letter, LetterAction::Skip).await.expect("it is kept");
        assert_eq!((skipped.state, skipped.skipped_by.as_deref()), (LetterState::Skipped, Some("ann")));
    }
    running.progress.wait(STANDARD_TABLES, &reached, SOON).await.unwrap();
    let healthy = || {
        let report = running.health.report();
        !serde_json::to_string(&report.components).unwrap().contains("wait")
    };
    until("health", healthy).await;
    until("counting what is skipped", || {
        running.projection("order_v1", at.partition as usize).unwrap().skipped_events == 1
    })
    .await;
    running.stop().await;
    assert!(letters(&store).await.iter().all(|letter| letter.state == LetterState::Skipped));

    // As if it had never been there.
    let clean_folder = tempfile::tempdir().unwrap();
    let (clean_log, clean) = (open_log(&clean_folder), open_store(&clean_folder));
    append(&*clean_log, shop.events());
    let whole = start_with(&clean_log, &clean, Catalogue::standard(), config(1_000)).await;
    whole.progress.wait(STANDARD_TABLES, &ends(shop.events()), SOON).await.unwrap();
    whole.stop().await;
    assert_eq!(documents(&store, 1).await, documents(&clean, 1).await);
    log.close();
    clean_log.close();
}

/// The versions of every order in the sequence in which they were folded; while `BROKEN`, takes no cancellation and no delivery.
struct Sequences;
static BROKEN: AtomicBool = AtomicBool::new(true);

impl Projection for Sequences {
    type Document = Vec<u64>;
    const TABLE: Table = Table::new("sequence", 1);
    const TOPICS: &'static [AggregateType] = &[AggregateType::Order];
    const KEY: Key = Key::Stream;

    fn rows(event: &RecordedEvent, rows: &mut Vec<RowId>) {
        rows.push(RowId::of(event.metadata.stream.id()));
    }

    fn fold(
        _: &RowId,
        document: Option<Vec<u64>>,
        event: &RecordedEvent,
    ) -> Result<Option<Vec<u64>>, FoldError> {
        let kind = event.event.ce_type();
        if BROKEN.load(Ordering::Relaxed) && (kind.contains("reserved") || kind.contains("cancelled")) {
            return Err(FoldError::NoSuchPart { what: kind.to_owned() });
        }
        let mut versions = document.unwrap_or_default();
        versions.push(event.metadata.version.get());
        Ok(Some(versions))
    }
}

async fn sequences(store: &Arc<dyn ReadStore>) -> Vec<(String, Vec<u64>)> {
    let rows = store.scan_table(Sequences::TABLE, None, 1_000).await.unwrap().rows;
    rows.iter()
        .map(|row| (row.partition_key.clone(), serde_json::from_slice(&row.document).unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_fix_what_waits_is_taken_in_order_and_a_full_queue_stops_its_partition_until_then() {
    let shop = shop(PARTITIONS, STEPS);
    let folder = tempfile::tempdir().unwrap();
    let (log, store) = (open_log(&folder), open_store(&folder));
    let reached = append(&*log, shop.events());
    let catalogue = || Catalogue::standard().with::<Sequences>();
    let small = ProjectorConfig { dead_letters_max: 5, ..config(3) };
    let running = start_with(&log, &store, catalogue(), small.clone()).await;
    // The standard tables flow.
    running.progress.wait(STANDARD_TABLES, &reached, SOON).await.unwrap();
    let blocked = |running: &Running| {
        (0..PARTITIONS as usize).all(|k| {
            running
                .projection("sequence_v1", k)
                .is_some_and(|status| !status.holds.is_empty() && status.lag_events > 0)
        })
    };
    until("blocking", || blocked(&running)).await;
    let reason = running.projection("sequence_v1", 0).unwrap().holds[0].reason.clone();
    assert!(reason.contains("dead_letters_max"), "{reason}");
    assert!(running.progress.statuses().iter().all(|status| status.state == PartitionState::Live));
    // With the fix, one letter after the other is taken, until nothing waits any more.
    running.stop().await;
    BROKEN.store(false, Ordering::Relaxed);
    let running = start_with(&log, &store, catalogue(), small).await;
    eventually("draining", async || {
        let parked = letters(&store).await.into_iter().filter(|letter| letter.state == LetterState::Parked);
        for letter in parked.collect::<Vec<_>>() {
            settle(&store, &letter, LetterAction::Retry).await;
        }
        letters(&store).await.is_empty().then_some(())
    })
    .await;
    running.progress.wait(&[Sequences::TABLE], &reached, SOON).await.unwrap();
    running.stop().await;
    let all = sequences(&store).await;
    assert!(all.len() > 5);
    for (order, versions) in all {
        let events = shop.events().iter().filter(|event| {
            event.metadata.stream.id() == order && event.event.aggregate_type() == AggregateType::Order
        });
        assert_eq!(versions, (1..=events.count() as u64).collect::<Vec<_>>(), "{order}");
    }
    log.close();
}
