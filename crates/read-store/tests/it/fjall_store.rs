//! fjall: the contract suite, the folder's lock, its format, reopening.

use std::sync::Arc;

use read_store::{
    Change, ChangeBatch, Checkpoint, Error, FjallConfig, FjallStore, ReadStore, RowKey, Source, Table,
    contract,
};

fn open(folder: &tempfile::TempDir) -> Result<FjallStore, Error> {
    FjallStore::open(FjallConfig { path: folder.path().join("read"), ..FjallConfig::default() })
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn fjall_keeps_every_promise_of_a_store() {
    for (name, promise) in contract::ALL {
        println!("{name}");
        let folder = tempfile::tempdir().unwrap();
        run(promise(Arc::new(open(&folder).unwrap())));
    }
}

#[test]
fn a_folder_in_use_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(&folder).unwrap();
    let error = open(&folder).err().unwrap();
    assert!(matches!(&error, Error::FolderLocked { path } if *path == folder.path().join("read")), "{error}");
}

#[test]
fn a_folder_of_another_format_is_refused_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder).unwrap());
    {
        let database = fjall::Database::builder(folder.path().join("read")).open().unwrap();
        let meta = database.keyspace("meta", fjall::KeyspaceCreateOptions::default).unwrap();
        meta.insert("format", 77_u64.to_be_bytes()).unwrap();
    }
    let error = open(&folder).err().unwrap();
    assert!(matches!(error, Error::FormatMismatch { expected: 1, found: 77, .. }), "{error}");
    assert!(error.to_string().contains("delete the folder"));
}

#[test]
fn rows_and_checkpoints_survive_reopening() {
    const TABLE: Table = Table::new("kept", 1);
    let folder = tempfile::tempdir().unwrap();
    let source = Source::new("t", 0);
    for round in 0..3_u64 {
        let store = open(&folder).unwrap();
        run(async {
            let known = store.checkpoints(TABLE).await.unwrap();
            assert_eq!(known.first().map_or(0, |c| c.next_offset), round);
            assert_eq!(store.scan_table(TABLE, None, 10).await.unwrap().rows.len() as u64, round);
            let key = RowKey::new(TABLE, format!("row {round}"), "");
            let changes = vec![Change::put(key, "{}", source.clone(), round)];
            let checkpoints =
                vec![Checkpoint { table: TABLE, source: source.clone(), next_offset: round + 1 }];
            store.apply(ChangeBatch { changes, checkpoints }).await.unwrap();
        });
    }
}
