//! The embedded log on a disk that fills up, cannot be written to, or fails to sync.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use event_log::{
    AppendError, Batch, Cursor, EmbeddedConfig, EmbeddedLog, Error, Headers, Log, LogConfig, NewRecord,
    Shard, ShardWriter,
};

use crate::small_disk::SmallDisk;
use crate::support::{eventually, order, orders, read_to_end, text};

const SHARD: Shard = Shard::new(1);
const MIB: u64 = 1 << 20;

fn config(folder: &Path, disk_reserve_bytes: u64) -> EmbeddedConfig {
    let log = LogConfig { namespace: "test".to_owned(), ..LogConfig::default() };
    EmbeddedConfig { log, path: folder.join("log"), disk_reserve_bytes, ..EmbeddedConfig::default() }
}

fn open(folder: &Path, disk_reserve_bytes: u64) -> EmbeddedLog {
    EmbeddedLog::open(config(folder, disk_reserve_bytes)).unwrap()
}

/// A batch that begins with `name`, with about so many bytes of what cannot be compressed.
fn batch(log: &dyn Log, name: &str, kibibytes: usize) -> Batch {
    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ name.len() as u64;
    let mut filler = |i: usize| {
        let mut text = format!("{name}.{i} ");
        while text.len() < 1_024 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.push_str(&format!("{state:x}"));
        }
        NewRecord { key: "key".into(), headers: Headers::new(), ..order(log, 1, &text) }
    };
    let mut records = vec![order(log, 1, name)];
    records.extend((0..kibibytes).map(&mut filler));
    Batch::of(records)
}

/// The names of the batches in the log, each of which must be whole.
fn batches(log: &dyn Log, kibibytes: impl Fn(&str) -> usize) -> Vec<String> {
    let records: Vec<_> = read_to_end(log, &order(log, 1, "").topic, 1).iter().map(text).collect();
    let mut names = Vec::new();
    let mut rest = records.iter();
    while let Some(name) = rest.next() {
        for i in 0..kibibytes(name) {
            assert!(
                rest.next().is_some_and(|text| text.starts_with(&format!("{name}.{i} "))),
                "half of {name}"
            );
        }
        names.push(name.clone());
    }
    names
}

fn is_disk_full(error: &AppendError) -> bool {
    let AppendError::NotWritten { source } = error else { return false };
    source.to_string().contains("is full")
}

/// A writer of the shard, once the log gives one.
fn writer(log: &dyn Log) -> Box<dyn ShardWriter> {
    eventually("a writer", || log.open_writer(SHARD).ok())
}

#[test]
fn a_disk_that_fills_up_refuses_before_it_writes_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let log = open(disk.path(), 16 * MIB);
    let mut writer = log.open_writer(SHARD).unwrap();
    writer.append(batch(&log, "before", 1)).unwrap();
    disk.fill(8 * MIB);

    let error = writer.append(batch(&log, "refused", 1)).unwrap_err();
    assert!(is_disk_full(&error), "{error:?}");
    assert!(writer.is_open(), "it waits for room like its callers");
    assert!(
        matches!(log.open_writer(Shard::new(0)), Err(Error::DiskFull { reserve_bytes, .. }) if reserve_bytes == 16 * MIB)
    );
    let topics = [order(&log, 1, "").topic];
    let mut subscription = log.subscribe("g", &topics).unwrap();
    let progress = Cursor { next_offset: 1, ..Cursor::start(topics[0].clone(), 1) };
    assert!(matches!(subscription.commit(std::slice::from_ref(&progress)), Err(Error::DiskFull { .. })));
    assert_eq!(batches(&log, |_| 1), ["before"], "it can be read all the while");

    disk.make_room();
    writer.append(batch(&log, "after", 1)).unwrap();
    subscription.commit(&[progress]).unwrap();
    log.open_writer(Shard::new(0)).unwrap();
    assert_eq!(batches(&log, |_| 1), ["before", "after"]);
}

#[test]
fn a_write_that_runs_out_of_room_is_unknown_and_the_log_opens_itself_again() {
    // No reserve: the write itself fails, at a different place in every round. Larger batches than the database's own
    // buffer reach the disk in part, smaller ones as a whole when the buffer is written at last.
    let Some(disk) = SmallDisk::mount(32) else { return };
    let log = open(disk.path(), 0);
    let mut acknowledged = Vec::new();
    let mut unknown = Vec::new();
    let kibibytes = |name: &str| name.rsplit('-').next().and_then(|size| size.parse().ok()).unwrap();
    for (round, size) in [150, 5, 60, 1, 9].into_iter().enumerate() {
        let mut appending = writer(&log);
        let before = format!("before-{round}-{size}");
        appending.append(batch(&log, &before, size)).unwrap();
        acknowledged.push(before);
        disk.fill(0);
        // What is left of the journal's last page may still take small batches.
        let error = (0..100).find_map(|i| {
            let name = format!("full-{round}.{i}-{size}");
            let appended = appending.append(batch(&log, &name, size));
            if appended.is_ok() {
                acknowledged.push(name)
            } else {
                unknown.push(name)
            }
            appended.err()
        });
        assert!(matches!(error, Some(AppendError::Unknown { .. })), "{error:?}");
        assert!(!appending.is_open());
        // Nobody waits for the room: who asks is told that nothing was done, who reads finds nothing new.
        assert!(matches!(log.open_writer(SHARD), Err(Error::Reopening)));
        assert!(matches!(log.open_reader(&[]).unwrap().read(1, Duration::ZERO), Ok(read) if read.is_empty()));
        disk.make_room();
    }
    drop(writer(&log));
    let found = batches(&log, kibibytes);
    let known: Vec<_> = found.iter().filter(|name| !unknown.contains(name)).cloned().collect();
    assert_eq!(known, acknowledged, "all that was acknowledged, in its order");
    drop(log);
    assert_eq!(batches(&open(disk.path(), 0), kibibytes), found, "what was read is what is on the disk");
}

#[test]
fn a_full_disk_can_be_opened_and_read() {
    let Some(disk) = SmallDisk::mount(32) else { return };
    let log = open(disk.path(), MIB);
    log.open_writer(SHARD).unwrap().append(batch(&log, "before", 100)).unwrap();
    drop(log);
    disk.fill(0);
    let log = open(disk.path(), MIB);
    assert_eq!(batches(&log, |_| 100), ["before"]);
    assert!(matches!(log.open_writer(SHARD), Err(Error::DiskFull { .. })));
    disk.make_room();
    log.open_writer(SHARD).unwrap().append(batch(&log, "after", 100)).unwrap();
    assert_eq!(batches(&log, |_| 100), ["before", "after"]);
}

#[test]
fn a_database_that_cannot_write_its_files_stops_and_comes_back_with_everything() {
    // The memory table does not fit beside the journal (64 MiB): the database's own thread fails, not a write of ours.
    let Some(mut disk) = SmallDisk::mount(96) else { return };
    let large_table = EmbeddedConfig { memory_table_bytes_max: 64 * MIB, ..config(disk.path(), 0) };
    let log = EmbeddedLog::open(large_table).unwrap();
    let mut appending = writer(&log);
    let mut acknowledged = Vec::new();
    let error = (0..1_000).find_map(|i| {
        let name = format!("batch-{i}");
        let appended = appending.append(batch(&log, &name, 500));
        if appended.is_ok() {
            acknowledged.push(name);
        }
        appended.err()
    });
    assert!(error.is_some(), "the disk is too small for all of it");
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
    disk.grow(512);
    let mut appending = writer(&log);
    let after = eventually("an append", || appending.append(batch(&log, "after", 500)).ok());
    let found = batches(&log, |_| 500);
    let is_unknown = matches!(error, Some(AppendError::Unknown { .. }));
    assert!(found.len() - acknowledged.len() <= 1 + usize::from(is_unknown));
    assert_eq!(found[..acknowledged.len()], acknowledged[..]);
    assert_eq!(found.last().map(String::as_str), Some("after"));
    assert_eq!(after.position(0).offset as usize, (found.len() - 1) * 501);
}

#[test]
fn a_disk_that_cannot_be_written_to_is_refused_by_name() {
    let Some(disk) = SmallDisk::mount(32) else { return };
    drop(open(disk.path(), 0));
    disk.set_read_only(true);
    let error = EmbeddedLog::open(config(disk.path(), 0)).err().unwrap();
    assert!(matches!(&error, Error::ReadOnly { path, .. } if *path == disk.path().join("log")), "{error:?}");
    let new = EmbeddedConfig { path: disk.path().join("new"), ..config(disk.path(), 0) };
    assert!(matches!(EmbeddedLog::open(new), Err(Error::ReadOnly { .. })));
    disk.set_read_only(false);
    open(disk.path(), 0);
}

#[test]
fn a_creation_that_runs_out_of_room_can_be_tried_again() {
    let Some(disk) = SmallDisk::mount(8) else { return };
    disk.fill(0);
    let mut failures = 0;
    // A little more room every time, so that it fails at one place after the other.
    let log = (1..200).find_map(|step| {
        disk.make_room();
        disk.fill(step * 4_096);
        let opened = EmbeddedLog::open(config(disk.path(), 0));
        failures += u32::from(opened.is_err());
        opened.ok()
    });
    assert!(failures > 0, "the disk was never full");
    let log: Arc<dyn Log> = Arc::new(log.expect("it opens once there is room"));
    disk.make_room();
    writer(&*log).append(batch(&*log, "first", 1)).unwrap();
    assert_eq!(orders(&*log, 1, 2)[0], "first");
}

#[test]
fn damage_in_a_file_of_older_records_is_an_error_and_never_wrong_data() {
    let Some(disk) = SmallDisk::mount(512) else { return };
    let log = open(disk.path(), 0);
    let mut appending = writer(&log);
    let keyspaces = disk.path().join("log/keyspaces");
    // Until the memory table (64 MiB) has become a file.
    let table = eventually("a file of records", || {
        appending.append(batch(&log, "batch", 500)).unwrap();
        tables(&keyspaces)
            .into_iter()
            .find(|table| std::fs::metadata(table).is_ok_and(|file| file.len() > 8 * MIB))
    });
    drop((appending, log));
    let mut bytes = std::fs::read(&table).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&table, bytes).unwrap();

    let log = open(disk.path(), 0);
    let mut reader = log.open_reader(&[Cursor::start(order(&log, 1, "").topic, 1)]).unwrap();
    let mut read = Vec::new();
    let error = loop {
        match reader.read(1_000, Duration::ZERO) {
            Ok(records) => read.extend(records.iter().map(text)),
            Err(error) => break error,
        }
        assert!(!reader.caught_up(), "the damage was not noticed");
    };
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    let whole: Vec<_> = batch(&log, "batch", 500).records.iter().map(|r| r.value.clone()).collect();
    for (record, expected) in read.iter().zip(whole.iter().cycle()) {
        assert_eq!(record.as_bytes(), &expected[..]);
    }
}

/// The files of the database's tables.
fn tables(keyspaces: &Path) -> Vec<std::path::PathBuf> {
    let entries = |folder: &Path| -> Vec<_> {
        std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .map_while(Result::ok)
            .map(|entry| entry.path())
            .collect()
    };
    entries(keyspaces).iter().flat_map(|keyspace| entries(&keyspace.join("tables"))).collect()
}
