//! A real CQL server: the contract suite, the schema, late writes. Without `MILLRACE_TEST_CQL` they say that they are skipped.

use std::sync::Arc;

use futures::future::join_all;
use read_store::{
    Change, ChangeBatch, Checkpoint, CqlConfig, CqlStore, Error, ReadStore, RowKey, Source, Table, contract,
};

const TABLE: Table = Table::new("late", 1);

/// Keyspaces of this run of the tests.
fn keyspace(name: &str) -> String {
    format!("t{}_{name}", std::process::id())
}

/// A store in an empty keyspace; none without a server.
async fn open(name: &str) -> Option<CqlStore> {
    let Ok(nodes) = std::env::var("MILLRACE_TEST_CQL") else {
        println!("skipped: MILLRACE_TEST_CQL is not set");
        return None;
    };
    let nodes = vec![nodes];
    Some(CqlStore::open(CqlConfig { nodes, keyspace: keyspace(name), ..CqlConfig::default() }).await.unwrap())
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn batch(document: Option<&str>, offset: u64) -> ChangeBatch {
    let source = Source::new("ns.order.events", 0);
    let key = RowKey::new(TABLE, "k", "");
    let change = match document {
        Some(document) => Change::put(key, document.to_owned(), source.clone(), offset),
        None => Change::delete(key, source.clone(), offset),
    };
    let checkpoints = vec![Checkpoint { table: TABLE, source, next_offset: offset + 1 }];
    ChangeBatch { changes: vec![change], checkpoints }
}

async fn document(store: &CqlStore) -> Option<String> {
    let row = store.get(&RowKey::new(TABLE, "k", "")).await.unwrap();
    row.map(|row| String::from_utf8(row.document.to_vec()).unwrap())
}

#[test]
fn cql_keeps_every_promise_of_a_store() {
    for (index, (name, promise)) in contract::ALL.iter().enumerate() {
        run(async {
            let Some(store) = open(&format!("contract{index}")).await else { return };
            println!("{name}");
            promise(Arc::new(store)).await;
        });
    }
}

#[test]
fn processes_that_start_at_once_make_one_schema() {
    run(async {
        let Some(first) = open("together").await else { return };
        let (one, two) = (open("together").await.unwrap(), open("together").await.unwrap());
        // None of them has the table yet.
        let stores = [&first, &one, &two];
        let writes = stores.iter().zip(1..).map(|(store, offset)| store.apply(batch(Some("1"), offset)));
        for written in join_all(writes).await {
            written.unwrap();
        }
        assert_eq!(first.checkpoints(TABLE).await.unwrap()[0].next_offset, 4);
        assert_eq!(one.scan_table(TABLE, None, 10).await.unwrap().rows.len(), 1);
    });
}

#[test]
fn a_projector_that_wakes_up_late_changes_nothing() {
    run(async {
        let Some(store) = open("late").await else { return };
        store.apply(batch(Some("new"), 9)).await.unwrap();
        for late in [batch(Some("old"), 4), batch(None, 4), batch(None, 9)] {
            store.apply(late).await.unwrap();
            assert_eq!(document(&store).await.as_deref(), Some("new"));
        }
        store.apply(batch(None, 12)).await.unwrap();
        for late in [batch(Some("old"), 4), batch(Some("new"), 9)] {
            store.apply(late).await.unwrap();
            assert_eq!(document(&store).await, None, "what was deleted does not come back");
        }
        assert_eq!(store.checkpoints(TABLE).await.unwrap()[0].next_offset, 13);
        store.apply(batch(Some("again"), 13)).await.unwrap();
        assert_eq!(document(&store).await.as_deref(), Some("again"));
    });
}

#[test]
fn many_rows_of_one_partition_key_pass_in_bounded_batches() {
    run(async {
        let Some(store) = open("wide").await else { return };
        let source = Source::new("ns.order.events", 0);
        let document = format!("\"{}\"", "x".repeat(700));
        let changes = (0..300).map(|row| {
            let key = RowKey::new(TABLE, "wide", format!("{row:05}"));
            Change::put(key, document.clone(), source.clone(), row)
        });
        // One that no batch would take is written alone.
        let large = format!("\"{}\"", "y".repeat(200_000));
        let large = Change::put(RowKey::new(TABLE, "wide", "large"), large, source.clone(), 300);
        let changes = changes.chain([large]).collect();
        store.apply(ChangeBatch { changes, checkpoints: vec![] }).await.unwrap();
        let rows = store.scan(TABLE, "wide", "", 1_000).await.unwrap();
        assert_eq!(rows.len(), 301);
        assert_eq!(rows[300].document.len(), 200_002);
    });
}

#[test]
fn a_server_that_is_not_there_is_a_clear_error() {
    run(async {
        let nodes = vec!["127.0.0.1:1".to_owned()];
        let error = CqlStore::open(CqlConfig { nodes, keyspace: keyspace("away"), ..CqlConfig::default() })
            .await
            .err()
            .unwrap();
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
        assert_eq!(error.to_string(), "connecting to the read store failed");
        assert_eq!(error.retry(), schemas::Retry::AfterBackoff);
    });
}
