//! Two nodes on brokers of their own, under two kinds of load: clients whose history is checked, and callers who look at
//! every answer.

use std::time::{Duration, Instant};

use schemas::Principal;
use testkit::history::{Evidence, Recorder, Scope, export_log};
use testkit::load::{Load, LoadConfig, Nodes};
use testkit::{Shape, eventually};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::block_in_place;
use xtask::infra::Unavailable;
use xtask::infra::kafka::{ADDRESS_VARIABLE, Ensemble};

use super::callers::{Callers, PRINCIPAL, Told};
use super::leaders;
use crate::cluster::Cluster;
use crate::shop::rounds;

/// Three brokers and two nodes are enough for two cores.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

pub(crate) struct Trial {
    name: &'static str,
    pub(crate) brokers: Ensemble,
    pub(crate) cluster: Cluster,
    pub(crate) callers: Callers,
    load: Option<Load>,
    nodes: Nodes,
    recorder: Recorder,
    namespace: String,
    _alone: MutexGuard<'static, ()>,
}

/// Lines of a node's log that a failed trial shows.
const LOG_LINES: usize = 60;

impl Drop for Trial {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for node in &self.cluster.nodes {
                let log = node.log();
                let lines: Vec<_> = log.lines().rev().take(LOG_LINES).collect();
                println!("{}:", node.url());
                lines.into_iter().rev().for_each(|line| println!("    {line}"));
            }
        }
    }
}

/// Fresh brokers; `None`, with a line that says so, where they cannot be had or are not wanted.
pub(crate) fn start_brokers(name: &str, size: u32) -> Option<Ensemble> {
    if std::env::var_os(ADDRESS_VARIABLE).is_none() {
        println!("skipped: {ADDRESS_VARIABLE} is not set, so no Kafka is wanted");
        return None;
    }
    match block_in_place(|| Ensemble::start(&format!("test-{name}"), size)) {
        Err(error) if error.is::<Unavailable>() => {
            println!("skipped: {error}");
            None
        }
        started => Some(started.unwrap()),
    }
}

impl Trial {
    /// `None`, with a line that says so, where brokers cannot be had or are not wanted.
    pub(crate) async fn start(name: &'static str, size: u32) -> Option<Self> {
        let alone = ONE_AT_A_TIME.lock().await;
        let brokers = start_brokers(name, size)?;
        let shape = Shape::kafka_at(&brokers.bootstrap());
        let Shape::Kafka { namespace, .. } = &shape else { unreachable!("it is Kafka's") };
        let namespace = namespace.clone();
        let replicated = ["--replication-factor", "3", "--min-insync-replicas", "2"];
        let topic_flags: &[&str] = if size == 1 { &[] } else { &replicated };
        let cluster = Cluster::start_on(shape, 2, topic_flags).await;
        cluster.is_spread(2).await;
        let (nodes, recorder) = (Nodes::new(cluster.urls()), Recorder::new());
        let config = LoadConfig { clients: 8, ..LoadConfig::default() };
        let load = Load::start(config, &nodes, &recorder).await;
        let callers = Callers::start(&cluster.urls());
        let trial = Self {
            name,
            brokers,
            cluster,
            callers,
            load: Some(load),
            nodes,
            recorder,
            namespace,
            _alone: alone,
        };
        trial.works().await;
        Some(trial)
    }

    fn load(&self) -> &Load {
        self.load.as_ref().expect("it runs until the end")
    }

    /// Waits until clients and callers get answers to what they ask from now on.
    pub(crate) async fn works(&self) {
        self.callers.are_served().await;
        self.load().answered(100).await;
    }

    /// Waits until all shards are served, by either node, and everybody gets answers; in a proof it panics when that takes
    /// longer than `limit`.
    pub(crate) async fn recovers_within(&self, limit: Duration) {
        let started = Instant::now();
        self.cluster.serves_all().await;
        self.callers.are_served().await;
        let took = started.elapsed();
        println!("{}: serves again after {took:?}", self.name);
        assert!(took <= limit || rounds().is_none(), "it serves again after {took:?} only");
        self.works().await;
    }

    /// Runs something that blocks for as long as a broker takes to start.
    pub(crate) fn with_brokers(&mut self, act: impl FnOnce(&mut Ensemble) -> anyhow::Result<()>) {
        block_in_place(|| act(&mut self.brokers)).unwrap();
    }

    /// The broker that leads this partition of a topic.
    pub(crate) fn leader(&self, topic: &str, partition: i32) -> u32 {
        block_in_place(|| leaders::leader(&self.brokers.bootstrap(), topic, partition))
    }

    /// The prefix of all topics, groups and transactional ids.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Waits until every broker has everything.
    pub(crate) async fn is_in_sync(&self) {
        let (bootstrap, size) = (self.brokers.bootstrap(), self.brokers.size() as usize);
        eventually("every broker has everything", || async {
            block_in_place(|| leaders::is_in_sync(&bootstrap, size)).then_some(())
        })
        .await;
    }

    /// Lets everybody finish, then holds what they were told against the log, and checks the log.
    pub(crate) async fn end(mut self) -> Told {
        let (received, told) = self.callers.end().await;
        if let Some(load) = self.load.take() {
            load.stop().await;
        }
        println!(
            "{}: callers were told {:?}; slowest answer {:?}, longest silence {:?}",
            self.name,
            told.codes(),
            told.slowest(),
            told.longest_silence()
        );
        told.is_honest();
        let log = export_log(self.nodes.client(), self.nodes.url(0)).await.unwrap();
        let evidence = Evidence { history: self.recorder.history(), log };
        let scope = Scope::default().with(Principal::new(PRINCIPAL).unwrap());
        let report = evidence.must_be_clean(self.name, &scope);
        println!("{}: {report}", self.name);
        for (number, received) in received.into_iter().enumerate() {
            let events = evidence.log.iter().filter(|record| record.is_event_of(&Callers::stream(number)));
            assert_eq!(events.count() as u64, received, "units of {}", Callers::stream(number));
        }
        self.cluster.verify().await;
        told
    }
}
