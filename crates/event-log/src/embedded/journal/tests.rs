//! Journals that fjall itself has written, damaged in every way that a disk or a crash can.

use std::os::unix::fs::FileExt;

use fjall::{Database, KeyspaceCreateOptions, PersistMode};

use super::*;

/// A database with one row per batch, closed; returns where each batch of its journal ends.
fn journal(folder: &Path, batches: u32) -> (PathBuf, Vec<u64>) {
    let database = Database::builder(folder).open().unwrap();
    let keyspace = database.keyspace("rows", KeyspaceCreateOptions::default).unwrap();
    let path = folder.join("0.jnl");
    let mut ends = Vec::new();
    for i in 0..batches {
        let mut batch = database.batch().durability(Some(PersistMode::SyncData));
        batch.insert(&keyspace, format!("key {i}"), vec![b'x'; 100]);
        // Large enough for fjall to compress it.
        batch.insert(&keyspace, format!("large {i}"), vec![b'y'; 10_000]);
        batch.commit().unwrap();
        ends.push(scan(&path).unwrap().end);
    }
    (path, ends)
}

fn rows(folder: &Path) -> usize {
    let database = Database::builder(folder).open().unwrap();
    database.keyspace("rows", KeyspaceCreateOptions::default).unwrap().len().unwrap()
}

fn garble(path: &Path, at: u64, bytes: &[u8]) {
    File::options().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

#[test]
fn what_fjall_wrote_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (_, ends) = journal(folder.path(), 3);
    assert!(ends.is_sorted() && ends[0] > 0);
    let journals = Journals::read(folder.path()).unwrap();
    assert_eq!((journals.batches, journals.torn.clone(), journals.is_empty()), (3, None, false));
    journals.cut().unwrap();
    assert_eq!(rows(folder.path()), 6);
}

/// Damages the file between two places.
type Damage<'a> = &'a dyn Fn(&Path, u64, u64);

#[test]
fn an_unfinished_last_batch_is_cut_off_however_it_is_damaged() {
    // Torn at every kind of place, a page of it lost, its rows garbled, its trailer garbled, rubbish behind it.
    let damages: [Damage<'_>; 6] = [
        &|path, from, to| garble(path, from + 20, &vec![0; (to - from - 20) as usize]),
        &|path, from, to| garble(path, to - 3, &[0; 3].map(|_| (from % 200) as u8 | 1)),
        &|path, from, _| garble(path, from + 50, b"garbled"),
        &|path, from, _| garble(path, from, &[0; 13]),
        &|path, from, to| garble(path, from + 1, &vec![7; (to - from) as usize]),
        &|path, from, _| File::options().write(true).open(path).unwrap().set_len(from + 21).unwrap(),
    ];
    for (number, damage) in damages.iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let (path, ends) = journal(folder.path(), 3);
        damage(&path, ends[1], ends[2]);
        let journals = Journals::read(folder.path()).unwrap();
        assert_eq!(journals.torn, Some((path, ends[1])), "damage {number}");
        journals.cut().unwrap();
        let journals = Journals::read(folder.path()).unwrap();
        assert_eq!((journals.batches, journals.torn), (2, None), "damage {number}");
        assert_eq!(rows(folder.path()), 4, "damage {number}");
    }
}

#[test]
fn damage_with_a_whole_batch_behind_it_is_refused_and_nothing_is_touched() {
    for in_batch in [0, 13, 21, 40, 60] {
        let folder = tempfile::tempdir().unwrap();
        let (path, ends) = journal(folder.path(), 3);
        garble(&path, ends[0] + in_batch, &[0xaa; 8]);
        let before = fs::read(&path).unwrap();
        let error = Journals::read(folder.path()).unwrap_err();
        let said = error.to_string();
        assert!(matches!(error, Error::Damaged { .. }), "{said}");
        assert!(said.contains("0.jnl") && said.contains(&format!("at byte {}", ends[0])), "{said}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

#[test]
fn a_damaged_older_journal_is_refused_when_a_younger_one_has_batches() {
    let folder = tempfile::tempdir().unwrap();
    let (path, ends) = journal(folder.path(), 2);
    fs::copy(&path, folder.path().join("1.jnl")).unwrap();
    garble(&path, ends[1] - 2, b"??");
    assert!(matches!(Journals::read(folder.path()), Err(Error::Damaged { .. })));
    // Nothing in the younger one: the older one ends in what was never acknowledged.
    File::options().write(true).open(folder.path().join("1.jnl")).unwrap().set_len(0).unwrap();
    let journals = Journals::read(folder.path()).unwrap();
    assert_eq!((journals.batches, journals.torn), (1, Some((path, ends[0]))));
}

#[test]
fn a_journal_written_anew_has_all_whole_batches_and_nothing_of_the_failed_writer() {
    let folder = tempfile::tempdir().unwrap();
    let (path, ends) = journal(folder.path(), 3);
    let failed_writer = File::options().write(true).open(&path).unwrap();
    garble(&path, ends[2] - 1, b"?");
    Journals::read(folder.path()).unwrap().rewrite_newest(folder.path()).unwrap();
    // What the failed writer still had in its buffer goes nowhere.
    failed_writer.write_all_at(&[1; 1_000], ends[1]).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), ends[1]);
    assert_eq!(rows(folder.path()), 4);
    assert!(!folder.path().join(REWRITTEN).exists());
}

#[test]
fn a_creation_that_was_cut_short_is_made_again_and_a_log_without_its_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    File::create(folder.path().join("0.jnl")).unwrap().set_len(1 << 20).unwrap();
    fs::create_dir(folder.path().join("keyspaces")).unwrap();
    fs::write(folder.path().join("version"), "FJL").unwrap();
    remove_unfinished_creation(folder.path()).unwrap();
    let (_, ends) = journal(folder.path(), 1);
    assert_eq!(ends.len(), 1);
    remove_unfinished_creation(folder.path()).unwrap();
    assert_eq!(rows(folder.path()), 2);

    fs::remove_file(folder.path().join("version")).unwrap();
    assert!(matches!(remove_unfinished_creation(folder.path()), Err(Error::Damaged { .. })));
    assert!(folder.path().join("0.jnl").exists());
}
