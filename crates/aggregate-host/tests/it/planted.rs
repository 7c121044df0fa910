//! Planted bugs: logs that break one promise each. The history checker has to find every one of them; the same story on
//! an honest log is clean. The product has no switch for any of this.

mod early_answers;
mod faulty_log;
mod forgetful;
mod late_writes;
mod shared_writers;

use std::sync::Arc;
use std::time::Instant;

use aggregate_host::{HostConfig, HostHandle};
use event_log::Log;
use schemas::{Command, CommandEnvelope, Sku};
use testkit::history::{Recorder, Report, Rule};

use self::early_answers::EarlyAnswers;
use self::faulty_log::{Bug, FaultyLog, Honest};
use self::forgetful::Forgetful;
use self::late_writes::LateWrites;
use self::shared_writers::SharedWriters;
use crate::clients::{ask, report};
use crate::harness::{Place, Running, SOON, envelope, receive, reserve};

/// What a client wants: one of a few streams, so that clients meet.
fn wish(id: u128) -> CommandEnvelope {
    let sku = format!("S{}", id % 3);
    let command: Command = match id % 5 {
        // Refused when it is more than there is.
        0 | 1 => reserve(&sku, &format!("o{id}"), 4),
        _ => receive(&sku, 3),
    };
    envelope(id, command)
}

/// One command of each result that there is, one after the other.
async fn decide_all_ways(recorder: &Recorder, host: &HostHandle, first_id: u128) {
    let order = format!("o{first_id}");
    let commands = [
        receive("S0", 1),
        reserve("S0", &order, 1),
        // Reserved already: nothing to do.
        reserve("S0", &order, 1),
        reserve("S0", "too-much", 100_000),
    ];
    for (id, command) in (first_id..).zip(commands) {
        ask(recorder, 8, host, envelope(id, command)).await;
    }
}

/// Several clients at once, each asking for its own things one after the other.
async fn trade(recorder: &Recorder, host: &HostHandle, ids: std::ops::Range<u128>) {
    decide_all_ways(recorder, host, 1_000 + ids.start).await;
    let clients = (0..4u32).map(|client| {
        let own = ids.clone().filter(move |id| id % 4 == u128::from(client));
        async move {
            for id in own {
                ask(recorder, client, host, wish(id)).await;
            }
        }
    });
    futures::future::join_all(clients).await;
}

/// A place with its log open, and a folder for each host on it.
struct Stage {
    place: Place,
    log: Arc<dyn Log>,
    recorder: Recorder,
}

impl Stage {
    fn all() -> Vec<Self> {
        Place::all().into_iter().map(Self::at).collect()
    }

    fn at(place: Place) -> Self {
        let log = place.open_log();
        Self { place, log, recorder: Recorder::new() }
    }

    /// A host without any local state, over the log with a bug.
    async fn host(&self, name: &str, bug: impl Bug) -> Running {
        let log = FaultyLog::around(Arc::clone(&self.log), bug);
        Running::over(log, HostConfig::default(), self.place.folder().join(name), None).await
    }

    async fn trade(&self, running: &Running, ids: std::ops::Range<u128>) {
        trade(&self.recorder, &running.host, ids).await;
    }

    fn report(&self) -> Report {
        report(&self.recorder, &self.log)
    }
}

fn assert_clean(report: &Report) {
    assert!(report.is_clean(), "{report}");
    let counts = report.counts;
    assert!(
        counts.accepted > 0 && counts.rejected > 0 && counts.unchanged > 0 && counts.ordered > 0,
        "{report}"
    );
}

fn assert_breaks(report: &Report, rules: &[Rule]) {
    assert_eq!(report.rules(), rules, "{report}");
}

/// A host that ends, and another one that goes on from the log.
async fn ended_in_between(stage: &Stage, bug: impl Bug) -> Report {
    let running = stage.host("first", bug).await;
    stage.trade(&running, 0..60).await;
    running.halt().await;
    let running = stage.host("second", Honest).await;
    stage.trade(&running, 100..160).await;
    running.halt().await;
    stage.report()
}

#[tokio::test]
async fn an_answer_before_the_commit_is_caught_once_it_is_lost() {
    for stage in Stage::all() {
        assert_clean(&ended_in_between(&stage, Honest).await);
    }
    for stage in Stage::all() {
        let markers = stage.place.markers();
        let report = ended_in_between(&stage, EarlyAnswers { markers }).await;
        // Kafka may write a batch's marker behind the next batch's records: the bug then guesses a wrong offset too.
        let mut broken = report.rules();
        broken.retain(|rule| markers == 0 || *rule != Rule::Misplaced);
        assert_eq!(broken, [Rule::Lost], "{report}");
    }
}

/// A host whose writer fails in the middle: whether the batch landed is not known.
async fn fails_in_between(stage: &Stage, bug: LateWrites) -> Report {
    let running = stage.host("only", bug.clone()).await;
    stage.trade(&running, 0..40).await;
    bug.fail_next(&running.host.shard_of(&wish(40).command.stream()));
    ask(&stage.recorder, 9, &running.host, envelope(40, receive("S1", 3))).await;
    // The shard is opened again: a read is answered by nobody before.
    let deadline = Instant::now() + SOON;
    while running.host.stock_levels(&Sku::new("S1").unwrap()).await.is_err() {
        assert!(Instant::now() < deadline, "the shard is not opened again");
        tokio::task::yield_now().await;
    }
    ask(&stage.recorder, 9, &running.host, envelope(41, receive("S1", 3))).await;
    running.halt().await;
    stage.report()
}

#[tokio::test]
async fn a_write_that_lands_behind_its_fence_is_caught() {
    for stage in Stage::all() {
        // It never lands, and the caller was told so.
        let report = fails_in_between(&stage, LateWrites::that_never_land()).await;
        assert_clean(&report);
        assert_eq!(report.counts.not_done, 1, "{report}");
    }
    for stage in Stage::all() {
        let report = fails_in_between(&stage, LateWrites::that_land_late()).await;
        assert_breaks(&report, &[Rule::VersionGap, Rule::TermBack, Rule::DoneAfterAll]);
    }
}

/// Two hosts that both believe to own all shards; only one log lets both write. (On Kafka the group would share the
/// shards between them.)
async fn two_owners(stage: &Stage, bug: impl Bug + Clone) -> Report {
    let one = stage.host("one", bug.clone()).await;
    stage.trade(&one, 0..40).await;
    let other = stage.host("other", bug).await;
    stage.trade(&other, 100..140).await;
    // The first one has not noticed, and decides on what it remembers.
    stage.trade(&one, 200..240).await;
    stage.trade(&other, 300..340).await;
    one.halt().await;
    other.halt().await;
    stage.report()
}

#[tokio::test]
async fn two_owners_of_a_shard_are_caught_where_no_fence_stops_the_first_one() {
    let report = two_owners(&Stage::at(Place::embedded()), Honest).await;
    assert_clean(&report);
    assert!(report.counts.not_done > 0, "the first owner was fenced: {report}");
    let report = two_owners(&Stage::at(Place::embedded()), SharedWriters::default()).await;
    let rules = report.rules();
    assert!(rules.contains(&Rule::VersionGap) && rules.contains(&Rule::TermBack), "{report}");
}

/// A host that starts without local state and is asked again for everything that was decided before.
async fn asked_again(stage: &Stage, bug: impl Bug) -> Report {
    let running = stage.host("first", Honest).await;
    stage.trade(&running, 0..40).await;
    running.halt().await;
    let running = stage.host("second", bug).await;
    stage.trade(&running, 0..40).await;
    running.halt().await;
    stage.report()
}

#[tokio::test]
async fn a_forgotten_command_id_is_caught_when_it_is_decided_again() {
    for stage in Stage::all() {
        let report = asked_again(&stage, Honest).await;
        assert_clean(&report);
        assert_eq!(report.counts.replayed, 44, "{report}");
    }
    for stage in Stage::all() {
        let rules = asked_again(&stage, Forgetful).await.rules();
        for rule in [Rule::DecidedTwice, Rule::ToldDifferently, Rule::ToldAnew] {
            assert!(rules.contains(&rule), "{rules:?}");
        }
    }
}
