//! The embedded log: the contract suite, failed writes, the folder's lock, `kill -9`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use event_log::{
    AppendError, Batch, Consumed, Cursor, EmbeddedConfig, EmbeddedLog, Error, Log, LogConfig, Shard,
};
use schemas::AggregateType;
use service_kit::{ArmedFailPoints, FailPoint, arm_fail_points};

use crate::contract::{send_commands, take_commands};
use crate::support::{
    TestLog, eventually, order, orders, read_count, read_to_end, record, small_limits, text,
};

contract_suite!(open);

fn config(path: &Path) -> EmbeddedConfig {
    EmbeddedConfig { log: small_limits("test"), path: path.join("log"), ..EmbeddedConfig::default() }
}

fn open() -> Option<TestLog> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let log = Arc::new(EmbeddedLog::open(config(&path)).unwrap());
    let reopen = move |old: Arc<dyn Log>| -> Arc<dyn Log> {
        drop(old);
        Arc::new(EmbeddedLog::open(config(&path)).unwrap())
    };
    Some(TestLog { log, reopen: Box::new(reopen), _keep: Box::new(folder) })
}

/// Arms fail points of the log in `folder` only.
fn arm(folder: &Path, points: &[(FailPoint, &str)]) -> ArmedFailPoints {
    let path = folder.join("log");
    let text: Vec<_> = points
        .iter()
        .map(|(point, action)| format!("{}@{}={action}", point.name(), path.display()))
        .collect();
    arm_fail_points(&text.join(";")).unwrap()
}

#[test]
fn a_failed_write_is_unknown_and_the_log_opens_itself_again_and_tells() {
    use FailPoint as P;
    for (point, lands) in [
        (P::EMBEDDED_BEFORE_WRITE, false),
        (P::EMBEDDED_AFTER_WRITE, true),
        (P::EMBEDDED_BEFORE_ANSWER, true),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(config(folder.path())).unwrap();
        let mut writer = log.open_writer(Shard::new(1)).unwrap();
        let mut other = log.open_writer(Shard::new(0)).unwrap();
        writer.append(Batch::of(vec![order(&log, 1, "before")])).unwrap();
        send_commands(&log, &mut *writer, &["c1", "c2"]);
        let (commands, group) = take_commands(&mut *log.ownership().unwrap(), 2);
        let consumed = Some(Consumed { group: group.unwrap(), offsets: vec![commands[0].cursor_after()] });
        // It stays closed until the test has looked at it.
        let closed = arm(folder.path(), &[(P::EMBEDDED_BEFORE_REOPEN, "return(unknown)")]);
        let armed = arm(folder.path(), &[(point, "1*return(unknown)")]);

        let records = vec![order(&log, 1, "a"), order(&log, 1, "b"), record(log.topics().outcomes(), 1, "c")];
        let error = writer.append(Batch { records, consumed }).unwrap_err();
        assert!(matches!(error, AppendError::Unknown { .. }), "{error:?}");
        assert!(!writer.is_open());
        let error = other.append(Batch::of(vec![order(&log, 0, "other")])).unwrap_err();
        assert!(matches!(error, AppendError::NotWritten { .. }), "{error:?}");
        assert!(other.is_open(), "nothing of it is in doubt");
        assert!(matches!(log.open_writer(Shard::new(1)), Err(Error::Reopening)));
        let mut reader = log.open_reader(&[Cursor::start(order(&log, 1, "").topic, 1)]).unwrap();
        assert!(reader.read(10, Duration::from_millis(1)).unwrap().is_empty(), "nothing undecided is shown");

        drop((armed, closed));
        let mut next = eventually("the log", || log.open_writer(Shard::new(1)).ok());
        let expected: &[&str] = if lands { &["before", "a", "b"] } else { &["before"] };
        let orders_now =
            || read_to_end(&log, &order(&log, 1, "").topic, 1).iter().map(text).collect::<Vec<_>>();
        assert_eq!(orders_now(), expected, "{point:?}: all of it or nothing");
        assert_eq!(read_count(&mut *reader, expected.len()).len(), expected.len(), "an open reader goes on");
        let outcomes = read_to_end(&log, &log.topics().outcomes().clone(), 1);
        assert_eq!(outcomes.len(), usize::from(lands));
        let wanted: &[&str] = if lands { &["c2"] } else { &["c1", "c2"] };
        let (commands, _) = take_commands(&mut *log.ownership().unwrap(), wanted.len());
        assert_eq!(commands.iter().map(text).collect::<Vec<_>>(), wanted, "consumed with it, or not");
        next.append(Batch::of(vec![order(&log, 1, "after")])).unwrap();
        other.append(Batch::of(vec![order(&log, 0, "other")])).unwrap();

        let expected = orders_now();
        drop((writer, other, next, reader, log));
        let log = EmbeddedLog::open(config(folder.path())).unwrap();
        assert_eq!(orders(&log, 1, expected.len()), expected, "and so it is on the disk");
    }
}

#[test]
fn a_batch_that_was_refused_by_a_fault_is_not_written_and_one_that_was_fenced_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(config(folder.path())).unwrap();
    let mut writer = log.open_writer(Shard::new(1)).unwrap();
    let armed =
        arm(folder.path(), &[(FailPoint::EMBEDDED_BEFORE_WRITE, "1*return(not_written)->1*return(fenced)")]);
    let error = writer.append(Batch::of(vec![order(&log, 1, "a")])).unwrap_err();
    assert!(matches!(error, AppendError::NotWritten { .. }), "{error:?}");
    let error = writer.append(Batch::of(vec![order(&log, 1, "b")])).unwrap_err();
    assert!(matches!(error, AppendError::Fenced { .. }), "{error:?}");
    drop(armed);
    log.open_writer(Shard::new(1)).unwrap().append(Batch::of(vec![order(&log, 1, "c")])).unwrap();
    assert_eq!(orders(&log, 1, 1), ["c"]);
}

#[test]
fn a_writer_that_fails_to_open_leaves_terms_that_still_grow() {
    for point in [FailPoint::EMBEDDED_BEFORE_TERM, FailPoint::EMBEDDED_AFTER_TERM] {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(config(folder.path())).unwrap();
        let mut first = log.open_writer(Shard::new(1)).unwrap();
        let armed = arm(folder.path(), &[(point, "1*return(unknown)")]);
        assert!(matches!(log.open_writer(Shard::new(1)), Err(Error::Backend { .. })));
        let next = eventually("the log", || log.open_writer(Shard::new(1)).ok());
        assert!(next.term() > first.term());
        assert!(matches!(
            first.append(Batch::of(vec![order(&log, 1, "late")])),
            Err(AppendError::Fenced { .. })
        ));
        drop(armed);
    }
}

#[test]
fn a_log_that_cannot_be_opened_again_fails_for_good_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(EmbeddedConfig { reopen_timeout_ms: 50, ..config(folder.path()) }).unwrap();
    let mut writer = log.open_writer(Shard::new(1)).unwrap();
    let mut reader = log.open_reader(&[Cursor::start(order(&log, 1, "").topic, 1)]).unwrap();
    writer.append(Batch::of(vec![order(&log, 1, "before")])).unwrap();
    let armed = arm(
        folder.path(),
        &[
            (FailPoint::EMBEDDED_BEFORE_WRITE, "return(unknown)"),
            (FailPoint::EMBEDDED_BEFORE_REOPEN, "return(unknown)"),
        ],
    );
    writer.append(Batch::of(vec![order(&log, 1, "a")])).unwrap_err();
    eventually("the end of the attempts", || {
        matches!(log.open_writer(Shard::new(1)), Err(Error::Poisoned)).then_some(())
    });
    // Whoever waits for records hears of it: that is how the process ends.
    assert!(matches!(reader.read(1, Duration::from_secs(30)), Err(Error::Poisoned)));
    drop((armed, writer, reader, log));
    assert_eq!(orders(&EmbeddedLog::open(config(folder.path())).unwrap(), 1, 1), ["before"]);
}

#[test]
fn a_batch_that_a_crash_left_unfinished_is_cut_off_and_damage_to_an_acknowledged_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = child(folder.path());
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let acks = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("ack ").map(str::to_owned));
    let last = acks.take(20).last().expect("the child appends");
    child.kill().unwrap();
    child.wait().unwrap();
    let acknowledged = last.split_once(' ').unwrap().0.parse::<u64>().unwrap() + 1;
    let read = || {
        let log = EmbeddedLog::open(config(folder.path()))?;
        Ok::<_, Error>(read_to_end(&log, &order(&log, 1, "").topic, 1).len() as u64)
    };
    let before = read().unwrap();
    assert!(before >= acknowledged);

    // The beginning of another batch, as a crash in the middle of a write leaves it.
    let journal = folder.path().join("log/0.jnl");
    let whole = std::fs::read(&journal).unwrap();
    std::fs::write(&journal, [&whole[..], &whole[..30]].concat()).unwrap();
    assert_eq!(read().unwrap(), before);
    assert_eq!(std::fs::read(&journal).unwrap(), whole, "cut off");

    // One byte of a record in the middle: the batches behind it were acknowledged.
    let needle = b".10.3";
    let at = whole.windows(needle.len()).position(|window| window == needle).unwrap();
    let mut garbled = whole.clone();
    garbled[at] ^= 0x20;
    std::fs::write(&journal, &garbled).unwrap();
    let error = read().unwrap_err();
    assert!(
        matches!(&error, Error::Damaged { what } if what.contains("0.jnl is not readable at byte")),
        "{error}"
    );
    assert_eq!(std::fs::read(&journal).unwrap(), garbled, "nothing was touched");
    std::fs::write(&journal, &whole).unwrap();
    assert_eq!(read().unwrap(), before);
}

#[test]
fn a_folder_in_use_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(config(folder.path())).unwrap();
    let error = EmbeddedLog::open(config(folder.path())).err().unwrap();
    assert!(
        matches!(&error, Error::FolderLocked { path } if *path == folder.path().join("log")),
        "{error:?}"
    );
    drop(log);
    EmbeddedLog::open(config(folder.path())).unwrap();
}

#[test]
fn what_a_log_was_made_with_cannot_change() {
    let folder = tempfile::tempdir().unwrap();
    drop(EmbeddedLog::open(config(folder.path())).unwrap());
    let with =
        |log: LogConfig| EmbeddedLog::open(EmbeddedConfig { log, ..config(folder.path()) }).err().unwrap();
    let error = with(LogConfig { partitions: 3, ..small_limits("test") });
    assert_eq!(error.to_string(), "partitions of the log is 2, the configuration says 3");
    let error = with(small_limits("other"));
    assert_eq!(error.to_string(), "namespace of the log is test, the configuration says other");
    assert!(matches!(with(LogConfig { partitions: 0, ..small_limits("test") }), Error::Config { .. }));
}

/// Tells the child what to do; without it the child is a test that does nothing.
const CHILD_FOLDER: &str = "MILLRACE_TEST_CHILD_FOLDER";
/// Records per batch of the child, on two partitions of topics.
const CHILD_BATCH: usize = 7;

#[test]
fn child_appends_until_it_is_killed() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else { return };
    let log = match EmbeddedLog::open(config(Path::new(&folder))) {
        Ok(log) => log,
        Err(Error::FolderLocked { .. }) => {
            println!("\nlocked");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let mut writer = log.open_writer(Shard::new(1)).unwrap();
    for batch in 0.. {
        let mut records: Vec<_> =
            (0..CHILD_BATCH).map(|i| order(&log, 1, &format!("{}.{batch}.{i}", writer.term()))).collect();
        records.push(record(log.topics().outcomes(), 1, &format!("{}.{batch}", writer.term())));
        let appended = writer.append(Batch::of(records)).unwrap();
        println!(
            "\nack {} {}",
            appended.position(CHILD_BATCH - 1).offset,
            appended.position(CHILD_BATCH).offset
        );
        std::io::stdout().flush().unwrap();
    }
}

fn child(folder: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["embedded::child_appends_until_it_is_killed", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD_FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn what_was_acknowledged_survives_kill_9_and_batches_stay_whole() {
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=3_u64 {
        let mut child = child(folder.path());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let acks =
            lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("ack ").map(str::to_owned));
        // Killed at a moment that nobody chose: after the twentieth answer of this round, somewhere in the next batches.
        let last = acks.take(20).last().expect("the child appends");
        child.kill().unwrap();
        child.wait().unwrap();
        let (order_offset, outcome_offset) = last.split_once(' ').unwrap();

        let log = EmbeddedLog::open(config(folder.path())).unwrap();
        let topics = log.topics();
        let orders = read_to_end(&log, &topics.events(AggregateType::Order).clone(), 1);
        let outcomes = read_to_end(&log, &topics.outcomes().clone(), 1);
        assert!(
            orders.len() as u64 > order_offset.parse::<u64>().unwrap(),
            "round {round}: acknowledged, and gone"
        );
        assert!(
            outcomes.len() as u64 > outcome_offset.parse::<u64>().unwrap(),
            "round {round}: acknowledged, and gone"
        );
        assert_eq!(orders.len(), CHILD_BATCH * outcomes.len(), "round {round}: half a batch");
        for (batch, outcome) in orders.chunks(CHILD_BATCH).zip(&outcomes) {
            for (i, order) in batch.iter().enumerate() {
                assert_eq!(text(order), format!("{}.{i}", text(outcome)));
            }
        }
        assert_eq!(
            log.open_writer(Shard::new(1)).unwrap().term().get(),
            2 * round,
            "the child's term, and ours"
        );
    }
}

#[test]
fn another_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _log = EmbeddedLog::open(config(folder.path())).unwrap();
    let output = child(folder.path()).wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).lines().any(|line| line == "locked"));
}
