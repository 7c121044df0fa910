//! What every store promises, as functions that a backend's test binary calls with a way to make an empty store.
//!
//! Each panics with what was broken. [`ALL`] lists them, so that a new promise reaches every backend.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::{Change, ChangeBatch, Checkpoint, Error, PageCursor, ReadStore, Row, RowKey, Source, Table};

/// One promise: its name, and the test of it on an empty store.
pub type Promise = (&'static str, fn(Arc<dyn ReadStore>) -> Pin<Box<dyn Future<Output = ()>>>);

/// Every promise.
pub const ALL: &[Promise] = &[
    ("a_row_comes_back_as_written_with_its_source_and_offset", |s| Box::pin(comes_back(s))),
    ("a_second_write_replaces_and_a_delete_removes", |s| Box::pin(replaces_and_removes(s))),
    ("rows_of_a_partition_key_are_ordered_by_sort_key", |s| Box::pin(ordered_by_sort_key(s))),
    ("partition_keys_with_a_common_beginning_keep_apart", |s| Box::pin(keys_keep_apart(s))),
    ("pages_cover_every_row_once", |s| Box::pin(pages_cover_every_row_once(s))),
    ("tables_and_versions_keep_apart", |s| Box::pin(tables_keep_apart(s))),
    ("checkpoints_are_kept_per_table_and_source", |s| Box::pin(checkpoints_are_kept(s))),
    ("applying_a_batch_again_changes_nothing", |s| Box::pin(idempotent(s))),
    ("an_overtaken_batch_changes_nothing", |s| Box::pin(overtaken(s))),
    ("keys_that_no_store_takes_are_refused_and_nothing_is_written", |s| Box::pin(refuses_keys(s))),
    ("a_dropped_table_is_gone_and_nothing_else", |s| Box::pin(dropped(s))),
    ("empty_tables_and_batches_are_no_errors", |s| Box::pin(empty(s))),
];

const TABLE: Table = Table::new("contract", 1);
const NEXT_VERSION: Table = Table::new("contract", 2);
const OTHER: Table = Table::new("contractual", 1);

fn source(partition: u32) -> Source {
    Source::new("ns.order.events", partition)
}

fn key(partition_key: &str, sort_key: &str) -> RowKey {
    RowKey::new(TABLE, partition_key, sort_key)
}

fn put(key: RowKey, document: &str, offset: u64) -> Change {
    Change::put(key, document.to_owned(), source(0), offset)
}

async fn write(store: &Arc<dyn ReadStore>, changes: Vec<Change>) {
    store.apply(ChangeBatch { changes, checkpoints: vec![] }).await.expect("the batch is valid");
}

async fn document(store: &Arc<dyn ReadStore>, key: &RowKey) -> Option<String> {
    let row = store.get(key).await.expect("reading works");
    row.map(|row| String::from_utf8(row.document.to_vec()).expect("documents are text"))
}

fn keys_of(rows: &[Row]) -> Vec<(&str, &str)> {
    rows.iter().map(|row| (&*row.partition_key, &*row.sort_key)).collect()
}

async fn comes_back(store: Arc<dyn ReadStore>) {
    let key = key("Zoë's 1", "sort ÿ");
    let change = Change::put(key.clone(), r#"{"a":"ä"}"#, source(7), u64::from(u32::MAX) + 9);
    write(&store, vec![change]).await;
    let row = store.get(&key).await.expect("reading works").expect("the row was written");
    assert_eq!((&*row.partition_key, &*row.sort_key), ("Zoë's 1", "sort ÿ"));
    assert_eq!(&*row.document, r#"{"a":"ä"}"#.as_bytes());
    assert_eq!((row.source, row.last_offset), (source(7), u64::from(u32::MAX) + 9));
}

async fn replaces_and_removes(store: Arc<dyn ReadStore>) {
    write(&store, vec![put(key("a", ""), "1", 1), put(key("b", ""), "1", 2)]).await;
    write(&store, vec![put(key("a", ""), "2", 3), Change::delete(key("b", ""), source(0), 4)]).await;
    let rows = store.get_many(&[key("b", ""), key("a", ""), key("c", "")]).await.expect("reading works");
    assert_eq!(rows.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(document(&store, &key("a", "")).await.as_deref(), Some("2"));
    let page = store.scan_table(TABLE, None, 10).await.expect("reading works");
    assert_eq!(keys_of(&page.rows), [("a", "")]);
    // A row that went can come again.
    write(&store, vec![put(key("b", ""), "3", 5)]).await;
    assert_eq!(document(&store, &key("b", "")).await.as_deref(), Some("3"));
}

async fn ordered_by_sort_key(store: Arc<dyn ReadStore>) {
    let sort_keys = ["", "00000000000000000002", "00000000000000000010", "a", "ab", "b"];
    let changes = sort_keys.iter().rev().zip(0..).map(|(sort, offset)| put(key("k", sort), "1", offset));
    write(&store, changes.collect()).await;
    let all = store.scan(TABLE, "k", "", 100).await.expect("reading works");
    assert_eq!(all.iter().map(|row| &*row.sort_key).collect::<Vec<_>>(), sort_keys);
    let some = store.scan(TABLE, "k", "00000000000000000003", 2).await.expect("reading works");
    assert_eq!(some.iter().map(|row| &*row.sort_key).collect::<Vec<_>>(), sort_keys[2..4]);
    assert!(store.scan(TABLE, "k", "", 0).await.expect("reading works").is_empty());
}

async fn keys_keep_apart(store: Arc<dyn ReadStore>) {
    let changes = [("a", "b"), ("a", ""), ("ab", ""), ("ab", "a"), ("a b", "x")];
    write(&store, changes.iter().map(|(p, s)| put(key(p, s), "1", 1)).collect()).await;
    let rows = store.scan(TABLE, "a", "", 100).await.expect("reading works");
    assert_eq!(keys_of(&rows), [("a", ""), ("a", "b")]);
    let rows = store.scan(TABLE, "ab", "", 100).await.expect("reading works");
    assert_eq!(keys_of(&rows), [("ab", ""), ("ab", "a")]);
}

async fn pages_cover_every_row_once(store: Arc<dyn ReadStore>) {
    let mut expected = BTreeMap::new();
    let mut changes = Vec::new();
    for i in 0..37 {
        for j in 0..(i % 3 + 1) {
            let row = (format!("p{i}"), format!("s{j}"));
            changes.push(put(key(&row.0, &row.1), "1", 1));
            expected.insert(row, 0);
        }
    }
    write(&store, changes).await;
    for limit in [1, 2, 7, 1_000] {
        let mut seen = expected.clone();
        let mut cursor: Option<PageCursor> = None;
        loop {
            let page = store.scan_table(TABLE, cursor.as_ref(), limit).await.expect("reading works");
            assert!(page.rows.len() <= limit, "a page has at most {limit} rows");
            for row in page.rows {
                *seen.get_mut(&(row.partition_key, row.sort_key)).expect("only rows that were written") += 1;
            }
            // A row behind the cursor that comes or goes between two pages disturbs nothing.
            write(&store, vec![put(RowKey::new(TABLE, "p0", "s0"), "2", 2)]).await;
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        assert!(seen.values().all(|times| *times == 1), "limit {limit}: {seen:?}");
    }
}

async fn tables_keep_apart(store: Arc<dyn ReadStore>) {
    let tables = [TABLE, NEXT_VERSION, OTHER];
    let changes = tables.iter().map(|table| put(RowKey::new(*table, "k", ""), &format!("\"{table}\""), 1));
    write(&store, changes.collect()).await;
    for table in tables {
        let page = store.scan_table(table, None, 10).await.expect("reading works");
        assert_eq!(page.rows.len(), 1);
        assert_eq!(&*page.rows[0].document, format!("\"{table}\"").as_bytes());
        assert_eq!(page.next, None);
    }
}

async fn checkpoints_are_kept(store: Arc<dyn ReadStore>) {
    let checkpoint = |table, topic: &str, partition, next_offset| Checkpoint {
        table,
        source: Source::new(topic, partition),
        next_offset,
    };
    let first = vec![
        checkpoint(TABLE, "ns.order.events", 1, 5),
        checkpoint(TABLE, "ns.order.events", 0, 300),
        checkpoint(TABLE, "ns.cart.events", 0, 1),
        checkpoint(NEXT_VERSION, "ns.order.events", 0, 2),
    ];
    store.apply(ChangeBatch { changes: vec![], checkpoints: first }).await.expect("the batch is valid");
    let later = vec![checkpoint(TABLE, "ns.order.events", 1, 6)];
    store.apply(ChangeBatch { changes: vec![], checkpoints: later }).await.expect("the batch is valid");
    let expected = vec![
        checkpoint(TABLE, "ns.cart.events", 0, 1),
        checkpoint(TABLE, "ns.order.events", 0, 300),
        checkpoint(TABLE, "ns.order.events", 1, 6),
    ];
    assert_eq!(store.checkpoints(TABLE).await.expect("reading works"), expected);
    assert_eq!(store.checkpoints(NEXT_VERSION).await.expect("reading works").len(), 1);
    assert!(store.scan_table(TABLE, None, 10).await.expect("reading works").rows.is_empty());
}

fn batch(document: &str, offset: u64) -> ChangeBatch {
    ChangeBatch {
        changes: vec![put(key("k", ""), document, offset)],
        checkpoints: vec![Checkpoint { table: TABLE, source: source(0), next_offset: offset + 1 }],
    }
}

async fn idempotent(store: Arc<dyn ReadStore>) {
    for _ in 0..2 {
        store.apply(batch("1", 4)).await.expect("the batch is valid");
        assert_eq!(document(&store, &key("k", "")).await.as_deref(), Some("1"));
        assert_eq!(store.checkpoints(TABLE).await.expect("reading works")[0].next_offset, 5);
    }
}

async fn overtaken(store: Arc<dyn ReadStore>) {
    store.apply(batch("new", 9)).await.expect("the batch is valid");
    // A store that can tell says so; one that cannot (its late writes lose by their stamp) succeeds.
    if let Err(error) = store.apply(batch("old", 4)).await {
        assert!(matches!(error, Error::CheckpointBehind { stored: 10, offered: 5, .. }), "{error}");
    }
    assert_eq!(document(&store, &key("k", "")).await.as_deref(), Some("new"));
    assert_eq!(store.checkpoints(TABLE).await.expect("reading works")[0].next_offset, 10);
}

async fn refuses_keys(store: Arc<dyn ReadStore>) {
    for bad in [
        key("", "s"),
        key("a\0b", ""),
        key("a", "s\0"),
        key(&"x".repeat(513), ""),
        key("a", &"x".repeat(513)),
    ] {
        let changes = vec![put(key("good", ""), "1", 1), put(bad, "1", 1)];
        let error =
            store.apply(ChangeBatch { changes, checkpoints: vec![] }).await.expect_err("the key is bad");
        assert!(matches!(error, Error::Key { .. }), "{error}");
    }
    assert_eq!(document(&store, &key("good", "")).await, None);
}

async fn dropped(store: Arc<dyn ReadStore>) {
    let generation = TABLE.of_generation(2);
    for table in [TABLE, generation, OTHER] {
        let changes = (0..25).map(|i| put(RowKey::new(table, format!("k{i}"), ""), "1", i)).collect();
        let checkpoints = vec![Checkpoint { table, source: source(0), next_offset: 25 }];
        store.apply(ChangeBatch { changes, checkpoints }).await.expect("the batch is valid");
    }
    store.drop_table(generation).await.expect("the table is there");
    store.drop_table(generation).await.expect("nothing to do");
    assert!(store.scan_table(generation, None, 100).await.expect("reading works").rows.is_empty());
    assert!(store.get(&RowKey::new(generation, "k1", "")).await.expect("reading works").is_none());
    assert!(store.checkpoints(generation).await.expect("reading works").is_empty());
    for table in [TABLE, OTHER] {
        assert_eq!(store.scan_table(table, None, 100).await.expect("reading works").rows.len(), 25);
        assert_eq!(store.checkpoints(table).await.expect("reading works").len(), 1);
    }
}

async fn empty(store: Arc<dyn ReadStore>) {
    store.apply(ChangeBatch::default()).await.expect("nothing to do");
    assert_eq!(document(&store, &key("k", "")).await, None);
    assert!(store.scan(TABLE, "k", "", 10).await.expect("reading works").is_empty());
    let page = store.scan_table(TABLE, None, 10).await.expect("reading works");
    assert!(page.rows.is_empty() && page.next.is_none());
    assert!(store.checkpoints(TABLE).await.expect("reading works").is_empty());
    store.flush().await.expect("nothing to do");
}
