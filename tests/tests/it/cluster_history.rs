//! Clients at random on several nodes of which one after the other is killed, stopped and frozen: whatever they were told
//! is true, whoever owned the shards.

use testkit::Shape;
use testkit::history::{Evidence, Recorder, Scope, export_log};
use testkit::load::{Load, LoadConfig, Nodes};

use crate::cluster::Cluster;
use crate::crash_history::{ANSWER_TIMEOUT, Disturbance};
use crate::shop::{HASTY, rounds, seed};

/// Answers between two disturbances, at random.
const ANSWERS: std::ops::Range<u64> = 100..1_000;

async fn survives(shape: Shape, disturbances: u32, seed: u64) {
    let mut cluster = Cluster::start_with(shape, 2, &[], &["--config", HASTY]).await;
    cluster.is_spread(2).await;
    let (nodes, recorder) = (Nodes::new(cluster.urls()), Recorder::new());
    let mut random = fastrand::Rng::with_seed(seed);
    let config = LoadConfig { seed, answer_timeout: ANSWER_TIMEOUT, ..LoadConfig::default() };
    let load = Load::start(config, &nodes, &recorder).await;
    for disturbance in Disturbance::ALL.into_iter().cycle().take(disturbances as usize) {
        load.answered(random.u64(ANSWERS)).await;
        let node = random.usize(..cluster.nodes.len());
        disturbance.befalls(&mut cluster.nodes[node]).await;
    }
    load.answered(ANSWERS.start).await;
    load.stop().await;
    let log = export_log(nodes.client(), nodes.url(0)).await.unwrap();
    let report = Evidence { history: recorder.history(), log }.must_be_clean("cluster", &Scope::default());
    println!("{disturbances} disturbances, seed {seed}:\n{report}");
    let counts = report.counts;
    assert!(counts.accepted > 0 && counts.unchanged > 0 && counts.rejected > 0, "{report}");
    assert!(counts.replayed > 0 && counts.unknown > 0, "{report}");
    cluster.verify().await;
}

/// Clients go on while a node ends: on threads of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_were_told_is_true_whatever_befalls_the_nodes() {
    let Some(shape) = Shape::kafka() else { return };
    survives(shape, rounds().unwrap_or(4), seed(5)).await;
}
