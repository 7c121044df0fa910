//! Brokers that die, sleep and come back under load: callers are told what is true, nothing is lost or doubled, and
//! everything serves again by itself.
//!
//! An outage lasts until callers have been told of it, or for as long as a broker takes to start: there is no other clock.
//! A proof (`cargo xtask prove brokers`) repeats the outages of each scenario, and holds the time that recovery takes
//! against what is promised; the tests' own round has the machine for itself only by chance.

mod callers;
mod leaders;
mod trial;

use std::time::{Duration, Instant};

use self::leaders::{GROUPS, TRANSACTIONS, coordinating};
use self::trial::Trial;
pub(crate) use self::trial::start_brokers;
use crate::shop::rounds;

/// How long after the brokers serve again until all shards do (the promise): members are known to be gone, or are let in
/// again, within a session; then come the writers' openings.
const RECOVERY: Duration = Duration::from_secs(15);
/// How long after a broker's death the others have taken over for it, and everybody is served. Mostly it is five seconds;
/// where the group's coordinator dies, members may have to join again, which costs them a session.
const FAILOVER: Duration = Duration::from_secs(20);
/// The longest wait for an answer (the promise): `host.answer_timeout_ms`, and some for a busy machine.
const ANSWER: Duration = Duration::from_secs(33);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_and_comes_back_costs_time_and_nothing_else() {
    let Some(mut trial) = Trial::start("killed", 1).await else { return };
    for _ in 0..rounds().unwrap_or(1) {
        // Shorter than the time-outs: back as soon as it can be.
        trial.with_brokers(|brokers| {
            brokers.kill(1)?;
            brokers.bring_back(1)
        });
        trial.recovers_within(RECOVERY).await;
        // Longer than the time-outs.
        trial.with_brokers(|brokers| brokers.kill(1));
        trial.callers.are_told(&["shard_unavailable"]).await;
        trial.with_brokers(|brokers| brokers.bring_back(1));
        trial.recovers_within(RECOVERY).await;
    }
    trial.end().await.is_within(ANSWER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_sleeps_longer_than_the_time_outs_leaves_nobody_with_a_wrong_answer() {
    let Some(mut trial) = Trial::start("asleep", 1).await else { return };
    for _ in 0..rounds().unwrap_or(1) {
        trial.with_brokers(|brokers| brokers.freeze(1));
        trial.callers.are_told(&["shard_unavailable"]).await;
        trial.with_brokers(|brokers| brokers.thaw(1));
        trial.recovers_within(RECOVERY).await;
    }
    trial.end().await.is_within(ANSWER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_brokers_any_one_may_die() {
    let Some(mut trial) = Trial::start("one-of-three", 3).await else { return };
    for _ in 0..rounds().unwrap_or(1) {
        let group = coordinating(GROUPS, &format!("{}.shards", trial.namespace()));
        let writer = coordinating(TRANSACTIONS, &format!("{}.shard.0.a", trial.namespace()));
        let commands = format!("{}.commands", trial.namespace());
        let led = [(GROUPS.0, group), (TRANSACTIONS.0, writer), (commands.as_str(), 0)];
        // A short round has one death.
        let deaths = if rounds().is_some() { led.len() } else { 1 };
        for (topic, partition) in led.into_iter().take(deaths) {
            let leader = trial.leader(topic, partition);
            println!("killing broker {leader}, the leader of {topic}/{partition}");
            trial.with_brokers(|brokers| brokers.kill(leader));
            trial.recovers_within(FAILOVER).await;
            trial.with_brokers(|brokers| brokers.bring_back(leader));
            trial.is_in_sync().await;
            trial.works().await;
        }
    }
    trial.end().await.is_within(ANSWER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn below_the_least_replicas_nothing_is_accepted_until_one_is_back() {
    let Some(mut trial) = Trial::start("two-of-three", 3).await else { return };
    for round in 0..rounds().unwrap_or(1) {
        let (first, second) = (round % 3 + 1, (round + 1) % 3 + 1);
        trial.with_brokers(|brokers| brokers.kill(first).and_then(|()| brokers.kill(second)));
        let below_from = Instant::now();
        trial.callers.are_told(&["not_written", "shard_unavailable"]).await;
        let below_to = Instant::now();
        trial.with_brokers(|brokers| brokers.bring_back(second));
        assert_eq!(trial.callers.served_between(below_from, below_to), 0, "accepted by one broker of three");
        trial.recovers_within(RECOVERY).await;
        trial.with_brokers(|brokers| brokers.bring_back(first));
        trial.is_in_sync().await;
        trial.works().await;
    }
    trial.end().await.is_within(ANSWER);
}
