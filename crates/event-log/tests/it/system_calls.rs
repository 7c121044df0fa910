//! What the embedded log asks of the operating system, watched with strace; and what it does when a sync fails.
//!
//! The file system's own errors cannot be had otherwise: strace changes what a system call returns.

use std::path::{Path, PathBuf};
use std::process::Command;

use event_log::{AppendError, Batch, EmbeddedConfig, EmbeddedLog, Log, Shard};

use crate::support::{eventually, order, orders, small_limits};

/// Tells the child where its log is; without it the child is a test that does nothing.
const TRACED_FOLDER: &str = "MILLRACE_TEST_TRACED_FOLDER";
const BATCHES: usize = 10;

fn config(folder: &Path) -> EmbeddedConfig {
    EmbeddedConfig { log: small_limits("test"), path: folder.join("log"), ..EmbeddedConfig::default() }
}

#[test]
fn child_appends_ten_batches_whatever_happens() {
    let Some(folder) = std::env::var_os(TRACED_FOLDER) else { return };
    let log = EmbeddedLog::open(config(Path::new(&folder))).unwrap();
    let mut writer = log.open_writer(Shard::new(1)).unwrap();
    for batch in 0..BATCHES {
        match writer.append(Batch::of(vec![order(&log, 1, &format!("batch-{batch}"))])) {
            Ok(_) => println!("\nack batch-{batch}"),
            Err(AppendError::Unknown { .. }) => {
                println!("\nunknown batch-{batch}");
                writer = eventually("the log opens itself again", || log.open_writer(Shard::new(1)).ok());
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Runs the child under strace; what it printed and what it called, or `None` where strace cannot be used.
fn traced(folder: &Path, more: &[&str]) -> Option<(String, String)> {
    let trace = folder.join("trace");
    let child = Command::new("strace")
        .args(["-f", "-y", "-qq", "-s", "64", "-e", "trace=openat,write,fsync,fdatasync,rename"])
        .args(more)
        .arg("-o")
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["system_calls::child_appends_ten_batches_whatever_happens", "--exact", "--nocapture"])
        .env(TRACED_FOLDER, folder)
        .output();
    let Ok(output) = child.as_ref().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()) else {
        println!("skipped: strace is not installed");
        return None;
    };
    if !output.contains("batch-0") {
        println!("skipped: strace may not be used here: {output}");
        return None;
    }
    Some((output, std::fs::read_to_string(&trace).unwrap()))
}

fn said<'a>(output: &'a str, what: &str) -> Vec<&'a str> {
    output.lines().filter_map(|line| line.strip_prefix(what)).collect()
}

/// The folder under the name that strace sees.
fn canonical(folder: &Path) -> PathBuf {
    folder.canonicalize().unwrap()
}

#[test]
fn nothing_is_acknowledged_before_the_journal_is_synced_and_its_name_too() {
    let folder = tempfile::tempdir().unwrap();
    let Some((output, trace)) = traced(folder.path(), &[]) else { return };
    assert_eq!(said(&output, "ack ").len(), BATCHES);
    let journal = format!("{}/log/0.jnl>", canonical(folder.path()).display());
    let named = format!("<{}/log>", canonical(folder.path()).display());
    let (mut writes, mut syncs, mut acknowledged) = (0, 0, 0);
    let mut is_named = false;
    let mut syncing = false;
    for line in trace.lines() {
        let is_done = line.ends_with("= 0");
        if line.contains(" write(") && line.contains(&journal) {
            writes += 1;
        } else if line.contains("fdatasync(") && line.contains(&journal) {
            // Another thread's call may come between its beginning and its end.
            syncing = !is_done;
            syncs = if is_done { writes } else { syncs };
        } else if line.contains("<... fdatasync resumed>") && is_done && syncing {
            syncing = false;
            syncs = writes;
        } else if line.contains("fsync(") && line.contains(&named) {
            is_named = true;
        } else if line.contains("ack batch-") {
            assert!(is_named, "the journal's name is durable first");
            assert!(writes > acknowledged && syncs == writes, "acknowledged before it was synced:\n{line}");
            acknowledged = writes;
        }
    }
    assert!(acknowledged >= BATCHES, "{trace}");
}

#[test]
fn a_sync_that_fails_is_never_taken_for_one_that_worked() {
    // The first syncs of the commit thread note the term; a failed one may be any of the batches.
    for when in ["3", "7"] {
        let folder = tempfile::tempdir().unwrap();
        let inject = format!("inject=fdatasync:error=EIO:when={when}");
        let Some((output, trace)) = traced(folder.path(), &["-e", &inject]) else { return };
        assert_eq!(said(&output, "unknown ").len(), 1, "{output}");
        assert_eq!(said(&output, "ack ").len(), BATCHES - 1, "{output}");
        assert!(trace.contains("EIO"), "{trace}");
        // The journal was written anew and synced, since the page cache may hold what the disk does not have.
        let renamed = trace.lines().position(|line| line.contains("rename(") && line.contains("journal.tmp"));
        let renamed = renamed.expect("the newest journal is written anew");
        let is_synced = |line: &&str| line.contains("fsync(") && line.contains("journal.tmp");
        assert!(trace.lines().take(renamed).any(|line| is_synced(&line)), "{trace}");

        let log = EmbeddedLog::open(config(folder.path())).unwrap();
        let found = orders(&log, 1, BATCHES - 1);
        let unknown = said(&output, "unknown ")[0];
        let known: Vec<_> = found.iter().map(String::as_str).filter(|name| *name != unknown).collect();
        assert_eq!(known, said(&output, "ack "));
    }
}
