//! A long time of random load while every process is killed, stopped and frozen at random: what clients were told is true,
//! everything serves again by itself, and nothing grows.
//!
//! `cargo xtask prove soak` goes on for thirty minutes (`MILLRACE_ROUNDS` counts minutes), two thirds of them on Kafka with
//! a process for each part and a broker that is killed, too, and the rest embedded. The tests' own round takes a minute.

mod samples;

use std::time::{Duration, Instant};

use testkit::history::{Evidence, Recorder, Scope, export_log};
use testkit::load::{Load, LoadConfig, Nodes};
use testkit::{Shape, TestApp};
use tokio::task::block_in_place;
use xtask::infra::kafka::Ensemble;

use self::samples::Samples;
use crate::brokers::start_brokers;
use crate::cluster::Cluster;
use crate::crash_history::{ANSWER_TIMEOUT, Disturbance};
use crate::shop::{HASTY, rounds, seed, verify_settled};

/// Time between two disturbances, at random.
const CALM_MS: std::ops::Range<u64> = 3_000..20_000;
/// How long all shards may take to be served again, a broker's start included.
const RECOVERY: Duration = Duration::from_secs(40);
/// How many clients there are between two disturbances, at random.
const CLIENTS: std::ops::Range<u32> = 2..24;
/// A round within the tests is short.
const SHORT: Duration = Duration::from_secs(60);

/// Everything that runs.
struct Stage {
    nodes: Vec<TestApp>,
    /// One process for each part that is no node, where parts run by themselves.
    parts: Vec<TestApp>,
    broker: Option<Ensemble>,
    partitions: u64,
}

impl Stage {
    async fn embedded() -> Self {
        let app = TestApp::start_with(crate::shop::PROGRAM, Shape::Embedded, &["--config", HASTY]).await;
        let status = app.get("/admin/v1/status").await.ok();
        let partitions = status["shards"]["total"].as_u64().unwrap();
        Self { nodes: vec![app], parts: Vec::new(), broker: None, partitions }
    }

    /// `None`, with a line that says so, where no broker can be had.
    async fn kafka() -> Option<Self> {
        let broker = start_brokers("soak", 1)?;
        let shape = Shape::kafka_at(&broker.bootstrap());
        let cluster = Cluster::start_with(shape.clone(), 2, &[], &["--config", HASTY]).await;
        cluster.is_spread(2).await;
        let commands_url = cluster.nodes[0].url();
        let part_flags = ["--config", HASTY, "--commands-url", &commands_url];
        let mut parts = Vec::new();
        for (part, flags) in [("process-managers", &part_flags[..]), ("query-api", &part_flags[..2])] {
            parts.push(TestApp::start_part(crate::shop::PROGRAM, shape.clone(), part, flags).await);
        }
        Some(Self { nodes: cluster.nodes, parts, broker: Some(broker), partitions: 4 })
    }

    fn processes(&mut self) -> impl Iterator<Item = &mut TestApp> {
        self.nodes.iter_mut().chain(&mut self.parts)
    }

    /// Something befalls one of the processes; returns what, to which.
    async fn disturb(&mut self, random: &mut fastrand::Rng) -> String {
        let disturbance = Disturbance::ALL[random.usize(..Disturbance::ALL.len())];
        let count = self.nodes.len() + self.parts.len();
        let victim = random.usize(..count + usize::from(self.broker.is_some()));
        if let Some(process) = self.processes().nth(victim) {
            disturbance.befalls(process).await;
            return format!("{disturbance:?} of process {victim}");
        }
        let broker = self.broker.as_mut().expect("the last victim is the broker");
        block_in_place(|| broker.kill(1).and_then(|()| broker.bring_back(1))).unwrap();
        "Kill of the broker".to_owned()
    }

    /// Waits until all shards are served and every process that ended by itself is noticed.
    async fn recovers(&mut self, what: &str) {
        let started = Instant::now();
        loop {
            for process in self.processes() {
                let ended = process.has_ended();
                assert!(
                    ended.is_none(),
                    "after {what}: a process ended by itself, {ended:?}\n{}",
                    process.log()
                );
            }
            let mut served = 0;
            for node in &self.nodes {
                served += crate::cluster::serving(&node.url()).await;
            }
            if served == self.partitions {
                return;
            }
            if started.elapsed() > RECOVERY {
                self.nodes.iter().for_each(|node| println!("{}\n{}", node.url(), node.log()));
                panic!("after {what}: {served} of {} shards are served", self.partitions);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn soaks(mut stage: Stage, name: &str, duration: Duration, seed: u64) {
    let urls: Vec<_> = stage.nodes.iter().map(TestApp::url).collect();
    let (nodes, recorder) = (Nodes::new(urls), Recorder::new());
    let mut random = fastrand::Rng::with_seed(seed);
    let mut samples = Samples::default();
    let (started, mut episode) = (Instant::now(), 0);
    while started.elapsed() < duration {
        episode += 1;
        let config = LoadConfig {
            seed: random.u64(..),
            clients: random.u32(CLIENTS),
            prefix: format!("SOAK{episode}"),
            answer_timeout: ANSWER_TIMEOUT,
            ..LoadConfig::default()
        };
        let load = Load::start(config, &nodes, &recorder).await;
        let calm = Instant::now() + Duration::from_millis(random.u64(CALM_MS));
        while Instant::now() < calm {
            tokio::time::sleep(Duration::from_secs(1)).await;
            samples.take(started.elapsed(), stage.processes()).await;
        }
        let what = stage.disturb(&mut random).await;
        stage.recovers(&what).await;
        load.answered(50).await;
        load.stop().await;
        println!("{name}, {:>4} s: {what}", started.elapsed().as_secs());
    }
    let log = export_log(nodes.client(), nodes.url(0)).await.unwrap();
    let report = Evidence { history: recorder.history(), log }.must_be_clean(name, &Scope::default());
    println!("{name}: {episode} disturbances, seed {seed}\n{report}\n{samples}");
    let counts = report.counts;
    assert!(counts.accepted > 0 && counts.unchanged > 0 && counts.rejected > 0, "{report}");
    match &stage.broker {
        None => drop(verify_settled(&stage.nodes[0]).await),
        Some(_) => drop(crate::cluster::verify(stage.nodes[0].shape()).await),
    }
    samples.are_flat(duration);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_grows_whatever_befalls_the_processes() {
    let duration = rounds().map_or(SHORT, |minutes| Duration::from_secs(60) * minutes);
    if let Some(stage) = Stage::kafka().await {
        soaks(stage, "soak-kafka", duration * 2 / 3, seed(23)).await;
    }
    soaks(Stage::embedded().await, "soak-embedded", duration / 3, seed(23)).await;
}
