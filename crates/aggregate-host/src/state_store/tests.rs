//! What a shard forgets, and when.

use schemas::{CommandHash, Outcome};

use super::*;

fn checkpoint(outcomes: impl IntoIterator<Item = (u128, i64)>, now: i64) -> Checkpoint {
    let outcomes = outcomes.into_iter().map(|(id, decided_at)| {
        let remembered = Remembered {
            hash: CommandHash::from_bytes([0; 16]),
            decided_at: Timestamp::from_millis(decided_at),
            outcome: Outcome::Unchanged { version: Version::NONE },
        };
        (command(id), remembered)
    });
    Checkpoint {
        states: Vec::new(),
        outcomes: Arc::new(outcomes.collect()),
        cursors: Vec::new(),
        now: Timestamp::from_millis(now),
    }
}

fn command(id: u128) -> CommandId {
    CommandId::new(uuid::Uuid::from_u128(id))
}

fn store(folder: &Path, config: &HostConfig) -> StateStore {
    StateStore::open(folder, Shard::new(0), &Topics::new("test"), config).unwrap()
}

/// Which of the ids up to `most` are known.
fn known(store: &StateStore, most: u128) -> Vec<u128> {
    (1..=most).filter(|id| store.outcome(command(*id)).unwrap().is_some()).collect()
}

#[test]
fn beyond_the_limit_the_oldest_outcomes_are_forgotten_also_within_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let config = HostConfig { dedupe_entries_max: 5, ..HostConfig::default() };
    let store = store(folder.path(), &config);
    // Ids that are in another order than the times.
    store.write(&checkpoint([(1, 103), (2, 101), (3, 102)], 200), &config).unwrap();
    store.write(&checkpoint([(4, 110), (5, 111), (6, 112)], 200), &config).unwrap();
    assert_eq!(known(&store, 9), [1, 3, 4, 5, 6]);
    store.write(&checkpoint([(7, 120), (8, 121), (9, 122)], 200), &config).unwrap();
    assert_eq!(known(&store, 9), [5, 6, 7, 8, 9]);
    store.write(&checkpoint([], 200), &config).unwrap();
    assert_eq!(known(&store, 9), [5, 6, 7, 8, 9], "nothing new, nothing forgotten");
}

#[test]
fn outcomes_are_forgotten_once_a_whole_checkpoint_is_out_of_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let config = HostConfig { dedupe_window_ms: 100, ..HostConfig::default() };
    {
        let store = store(folder.path(), &config);
        store.write(&checkpoint([(1, 1_000), (2, 1_010)], 1_010), &config).unwrap();
        store.write(&checkpoint([(3, 1_050)], 1_105), &config).unwrap();
        assert_eq!(
            known(&store, 3),
            [1, 2, 3],
            "the younger one of the first checkpoint is within the window"
        );
    }
    let store = store(folder.path(), &config);
    assert_eq!(store.time().unwrap(), Timestamp::from_millis(1_105));
    store.write(&checkpoint([], 1_111), &config).unwrap();
    assert_eq!(known(&store, 3), [3]);
    store.write(&checkpoint([], 1_151), &config).unwrap();
    assert_eq!(known(&store, 3), [] as [u128; 0]);
}
