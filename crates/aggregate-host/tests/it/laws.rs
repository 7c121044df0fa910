//! Decisions, dedupe and races.

use std::time::{Duration, Instant};

use aggregate_host::{HostConfig, HostError};
use event_log::{decode_event, decode_outcome, encode_command};
use schemas::{
    CommandEnvelope, ErrorCode, ExpectedVersion, InstallationSecret, Outcome, Principal, Sku, StreamId,
    Timestamp, Version,
};

use crate::harness::{Place, Running, SOON, envelope, receive, reserve};

#[tokio::test]
async fn an_accepted_command_is_in_the_log_at_its_version_and_position() {
    for place in Place::all() {
        let running = Running::start(&place).await;
        let Outcome::Accepted(accepted) = running.outcome(1, receive("A", 5)).await else {
            panic!("not accepted")
        };
        assert_eq!((accepted.version, accepted.events), (Version::FIRST, 1));
        let records = running.records();
        let found = records.iter().find(|record| record.position == accepted.position).unwrap();
        assert_eq!(decode_event(found).unwrap().metadata.stream.to_string(), "stock/A");
        running.stop().await;
    }
}

#[tokio::test]
async fn one_command_id_has_one_outcome_across_restarts_and_without_local_state() {
    for place in Place::all() {
        let running = Running::start(&place).await;
        let accepted = running.outcome(1, receive("A", 5)).await;
        let refused = running.outcome(2, reserve("A", "o1", 6)).await;
        assert!(matches!(&refused, Outcome::Rejected(r) if r.code == ErrorCode::InsufficientStock));
        for forget in [false, true] {
            for (id, command, outcome) in
                [(1, receive("A", 5), &accepted), (2, reserve("A", "o1", 6), &refused)]
            {
                let answer = running.submit(id, command).await.unwrap();
                assert!(answer.replayed);
                assert_eq!(&answer.outcome, outcome, "forget: {forget}");
            }
        }
        let before = running.records().len();
        running.stop().await;
        for forget in [false, true] {
            if forget {
                std::fs::remove_dir_all(place.folder().join("state")).unwrap();
            }
            let running = Running::start(&place).await;
            for (id, command, outcome) in
                [(1, receive("A", 5), &accepted), (2, reserve("A", "o1", 6), &refused)]
            {
                let answer = running.submit(id, command).await.unwrap();
                assert_eq!(
                    (answer.replayed, &answer.outcome),
                    (true, outcome),
                    "state folder removed: {forget}"
                );
            }
            assert_eq!(running.records().len(), before);
            running.stop().await;
        }
    }
}

#[tokio::test]
async fn the_same_id_for_another_wish_is_refused_and_changes_nothing() {
    let place = Place::embedded();
    let running = Running::start(&place).await;
    running.outcome(1, receive("A", 5)).await;
    assert!(matches!(running.submit(1, receive("A", 6)).await, Err(HostError::IdReused { .. })));
    assert_eq!(running.host.stock_levels(&Sku::new("A").unwrap()).await.unwrap().on_hand, 5);
    running.stop().await;
}

#[tokio::test]
async fn repeating_an_id_while_it_runs_gives_the_first_one_s_answer() {
    let place = Place::embedded();
    let running = Running::start(&place).await;
    let answers = futures::future::join_all((0..50).map(|_| running.submit(1, receive("A", 5)))).await;
    let outcomes: Vec<_> = answers.into_iter().map(|answer| answer.unwrap()).collect();
    assert_eq!(outcomes.iter().filter(|answer| !answer.replayed).count(), 1);
    assert!(outcomes.iter().all(|answer| answer.outcome == outcomes[0].outcome));
    assert_eq!(running.records().len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_wrong_expected_version_is_a_conflict() {
    let place = Place::embedded();
    let running = Running::start(&place).await;
    running.outcome(1, receive("A", 5)).await;
    let mut stale = envelope(2, receive("A", 5));
    stale.expected_version = ExpectedVersion::Exactly(Version::NONE);
    let outcome = running.host.submit(stale).await.unwrap().outcome;
    assert!(matches!(outcome, Outcome::Rejected(r) if r.code == ErrorCode::VersionConflict));
    let mut right = envelope(3, receive("A", 5));
    right.expected_version = ExpectedVersion::Exactly(Version::FIRST);
    assert!(matches!(running.host.submit(right).await.unwrap().outcome, Outcome::Accepted(_)));
    running.stop().await;
}

#[tokio::test]
async fn of_many_buyers_racing_for_a_few_units_just_so_many_win() {
    for place in Place::all() {
        let running = Running::start(&place).await;
        running.outcome(1, receive("A", 30)).await;
        let orders: Vec<_> = (0..200).map(|i| format!("o{i}")).collect();
        let buyers = orders.iter().zip(100..).map(|(order, id)| running.outcome(id, reserve("A", order, 1)));
        let outcomes = futures::future::join_all(buyers).await;
        let won = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Accepted(_))).count();
        let short =
            |o: &&Outcome| matches!(o, Outcome::Rejected(r) if r.code == ErrorCode::InsufficientStock);
        assert_eq!((won, outcomes.iter().filter(short).count()), (30, 170));
        let levels = running.host.stock_levels(&Sku::new("A").unwrap()).await.unwrap();
        assert_eq!((levels.on_hand, levels.reserved, levels.available), (30, 30, 0));
        running.stop().await;
    }
}

#[tokio::test]
async fn a_refusal_is_recorded_on_the_deciding_shard_under_its_command_id() {
    let place = Place::embedded();
    let running = Running::start(&place).await;
    running.outcome(7, reserve("A", "o1", 1)).await;
    let records = running.records();
    let outcome = decode_outcome(&records[0]).unwrap();
    assert_eq!(outcome.command_id.as_uuid().as_u128(), 7);
    assert_eq!(records[0].position.partition, running.host.shard_of(&outcome.stream).partition());
    running.stop().await;
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_loses_nothing() {
    let place = Place::embedded();
    let config = HostConfig { queue_commands_max: 4, ..HostConfig::default() };
    let running = Running::start_with(&place, config).await;
    let all = futures::future::join_all((1..=2_000).map(|id| running.submit(id, receive("A", 1)))).await;
    let done = all.iter().filter(|answer| answer.is_ok()).count();
    assert!(all.iter().all(|answer| matches!(answer, Ok(_) | Err(HostError::Overloaded { .. }))));
    assert!(done < all.len(), "2,000 at once cannot all fit a queue of 4");
    assert_eq!(running.records().len(), done);
    running.stop().await;
}

/// On a log that others can write to, only the installation's proof says who sent a command.
#[tokio::test]
async fn a_command_on_a_shared_log_is_believed_only_when_a_node_signed_it() {
    let Some(place) = Place::kafka() else { return };
    let secret = || InstallationSecret::new("a secret of our nodes").unwrap();
    let clerk = Principal::new("clerk").unwrap();
    let command = |number: u128, sku: &str| CommandEnvelope {
        principal: clerk.clone(),
        ..envelope(number, receive(sku, 1))
    };
    let running = Running::start_as(&place, HostConfig::default(), Some(secret())).await;
    assert!(running.host.can_defer());
    running.host.defer(&command(1, "OURS")).await.unwrap();
    let forged = InstallationSecret::new("a secret of somebody").unwrap();
    let (topics, partitions) = (running.log.topics().clone(), running.log.partitions());
    for (number, sku, secret) in [(2, "FORGED", Some(&forged)), (3, "UNSIGNED", None)] {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let record = encode_command(&topics, partitions, &command(number, sku), now, secret).unwrap();
        running.log.enqueue(record, Box::new(|outcome| assert!(outcome.is_ok())));
    }
    for (number, sku, principal) in [
        (1, "OURS", "clerk".to_owned()),
        (2, "FORGED", format!("kafka:{}", topics.commands())),
        (3, "UNSIGNED", format!("kafka:{}", topics.commands())),
    ] {
        let stream = StreamId::stock(&Sku::new(sku).unwrap());
        let id = envelope(number, receive(sku, 1)).command_id;
        let deadline = Instant::now() + SOON;
        while running.host.outcome(id, &stream).await.unwrap().is_none() {
            assert!(Instant::now() < deadline, "{sku} was not decided");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Readers see it a moment later: the marker of its commit follows the answer.
        let event = loop {
            match running.records().into_iter().find(|record| record.key == sku) {
                Some(event) => break event,
                None => assert!(Instant::now() < deadline, "{sku} is decided and not to be seen"),
            }
        };
        assert_eq!(decode_event(&event).unwrap().metadata.principal.as_str(), principal, "{sku}");
    }
    running.stop().await;
}
