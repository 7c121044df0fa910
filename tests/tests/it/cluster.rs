//! Several nodes on one Kafka log: callers use any of them, and a shard changes hands without their noticing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Shape, TestApp, eventually};

use crate::shop::PROGRAM;

/// Units that every command brings.
const SKUS: usize = 40;
/// How long a takeover may take (the promise), as against how long a command may wait.
const TAKEOVER: Duration = Duration::from_secs(10);
/// How much longer than the takeover the answer may take of a command that waited for it, on a busy machine.
const MARGIN: Duration = Duration::from_secs(3);

/// Nodes on one log of four shards.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<TestApp>,
    shape: Shape,
}

impl Cluster {
    /// `None` without a broker.
    pub(crate) async fn start(size: usize) -> Option<Self> {
        Some(Self::start_on(Shape::kafka()?, size, &[]).await)
    }

    /// On the Kafka log of `shape`, whose topics are made with the given flags.
    pub(crate) async fn start_on(shape: Shape, size: usize, topic_flags: &[&str]) -> Self {
        Self::start_with(shape, size, topic_flags, &[]).await
    }

    /// The same with flags of the nodes.
    pub(crate) async fn start_with(
        shape: Shape,
        size: usize,
        topic_flags: &[&str],
        node_flags: &[&str],
    ) -> Self {
        let Shape::Kafka { bootstrap, namespace } = &shape else { panic!("nodes share nothing but Kafka") };
        let topics = std::process::Command::new(PROGRAM)
            .args(["topics", "init", "--kafka", bootstrap, "--namespace", namespace, "--partitions", "4"])
            .args(topic_flags)
            .output()
            .unwrap();
        assert!(topics.status.success(), "{}", String::from_utf8_lossy(&topics.stderr));
        let mut nodes = Vec::new();
        for _ in 0..size {
            nodes.push(TestApp::start_node(PROGRAM, shape.clone(), node_flags).await);
        }
        Self { nodes, shape }
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(TestApp::url).collect()
    }

    /// Waits until the shards are spread over this many nodes.
    pub(crate) async fn is_spread(&self, over: usize) {
        eventually("the shards are spread", || async {
            let mut owners = 0;
            let mut served = 0;
            for node in &self.nodes {
                let serving = serving(&node.url()).await;
                owners += usize::from(serving > 0);
                served += serving;
            }
            (owners == over && served == 4).then_some(())
        })
        .await;
    }

    /// Waits until each shard is served, by whichever node.
    pub(crate) async fn serves_all(&self) {
        eventually("all shards are served", || async {
            let mut served = 0;
            for node in &self.nodes {
                served += serving(&node.url()).await;
            }
            (served == 4).then_some(())
        })
        .await;
    }

    /// Reads the whole log and checks its promises.
    pub(crate) async fn verify(&self) -> Value {
        verify(&self.shape).await
    }
}

/// Reads the whole Kafka log of `shape` and checks its promises.
pub(crate) async fn verify(shape: &Shape) -> Value {
    let Shape::Kafka { bootstrap, namespace } = shape else { panic!("it is Kafka's") };
    let output = tokio::process::Command::new(PROGRAM)
        .args(["verify", "--kafka", bootstrap, "--namespace", namespace, "--json"])
        .output()
        .await
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(report["violation_count"], 0, "{report:#}");
    report
}

/// How many shards the node at `url` serves; none when it does not answer.
pub(crate) async fn serving(url: &str) -> u64 {
    let Ok(answer) = reqwest::get(format!("{url}/admin/v1/status")).await else { return 0 };
    let status: Value = answer.json().await.unwrap_or_default();
    status["shards"]["serving"].as_u64().unwrap_or_default()
}

/// Clients that receive one unit at a time, each command under a key of its own, through whichever node is ready.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<Told>>,
    accepted: Arc<AtomicU64>,
}

/// What a client was told.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) accepted: u64,
    /// Whom it had asked, and what that said.
    pub(crate) failed: Vec<(String, String)>,
    /// The longest wait for an answer, by whom it had asked.
    pub(crate) slowest: BTreeMap<String, Duration>,
}

impl Told {
    fn took(&mut self, url: &str, wait: Duration) {
        let slowest = self.slowest.entry(url.to_owned()).or_default();
        *slowest = wait.max(*slowest);
    }

    /// Whether it was `node` that every failed request had gone to.
    fn failed_only_at(&self, node: &TestApp) -> bool {
        self.failed.iter().all(|(url, _)| *url == node.url())
    }
}

impl Load {
    pub(crate) fn start(urls: &[String], clients: usize) -> Self {
        let (stop, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clients = (0..clients).map(|number| {
            let (urls, stop, accepted) = (urls.to_vec(), Arc::clone(&stop), Arc::clone(&accepted));
            tokio::spawn(client(number, urls, stop, accepted))
        });
        Self { clients: clients.collect(), stop, accepted }
    }

    /// Waits until so many more were accepted.
    pub(crate) async fn goes_on(&self, by: u64) {
        let from = self.accepted.load(Ordering::SeqCst);
        eventually("commands are accepted", || async {
            (self.accepted.load(Ordering::SeqCst) >= from + by).then_some(())
        })
        .await;
    }

    pub(crate) async fn end(self) -> Told {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Told::default();
        for client in self.clients {
            let told = client.await.unwrap();
            all.accepted += told.accepted;
            all.failed.extend(told.failed);
            for (url, wait) in &told.slowest {
                all.took(url, *wait);
            }
        }
        println!("{} accepted, {} failed, slowest {:?}", all.accepted, all.failed.len(), all.slowest);
        all
    }
}

async fn client(number: usize, urls: Vec<String>, stop: Arc<AtomicBool>, accepted: Arc<AtomicU64>) -> Told {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(40)).build().unwrap();
    let mut told = Told::default();
    let mut turn = number;
    while !stop.load(Ordering::SeqCst) {
        turn += 1;
        let url = &urls[turn % urls.len()];
        // As a balancer asks: a node that does not answer soon is none to use.
        let is_ready =
            http.get(format!("{url}/health/ready")).timeout(Duration::from_millis(500)).send().await;
        if !is_ready.is_ok_and(|answer| answer.status().is_success()) {
            continue;
        }
        let sku = (number * 31 + turn) % SKUS;
        let started = Instant::now();
        let answer = http
            .post(format!("{url}/v1/stock/sku-{sku}/receive"))
            .header("Idempotency-Key", format!("{number}-{turn}"))
            .json(&json!({"quantity": 1}))
            .send()
            .await;
        told.took(url, started.elapsed());
        match answer {
            Ok(answer) if answer.status().is_success() => {
                told.accepted += 1;
                accepted.fetch_add(1, Ordering::SeqCst);
            }
            Ok(answer) => {
                let status = answer.status();
                let text = format!("{status} {}", answer.text().await.unwrap_or_default());
                told.failed.push((url.clone(), text));
            }
            Err(error) => told.failed.push((url.clone(), format!("{error:?}"))),
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_takes_any_command() {
    let Some(cluster) = Cluster::start(2).await else { return };
    cluster.is_spread(2).await;
    for node in &cluster.nodes {
        for sku in 0..20 {
            let path = format!("/v1/stock/sku-{sku}/receive");
            let key = format!("once-{sku}");
            let answer = node.post_once(&key, &path, json!({"quantity": 3})).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(
                answer.body["version"], 1,
                "the same key is the same command on both nodes: {answer:?}"
            );
        }
        let product = json!({"sku": "MUG", "name": "Mug"});
        node.post_once("mug", "/v1/products", product).await.ok();
        let price = json!({"price": {"amount_minor": 455, "currency": "GBP"}});
        node.post_once("price", "/v1/products/MUG/price", price).await.ok();
        node.post_once("publish", "/v1/products/MUG/publish", json!({})).await.ok();
    }
    // Prices are looked up wherever the product's shard is.
    for (node, number) in cluster.nodes.iter().zip(0..) {
        for order in 0..10 {
            let order = json!({"id": format!("{number}-{order}"), "country": "United Kingdom", "lines": [{"sku": "MUG", "quantity": 1}]});
            node.post("/v1/orders", order).await.ok();
        }
    }
    cluster.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shards_of_a_killed_node_are_served_by_the_other_within_ten_seconds() {
    let Some(mut cluster) = Cluster::start(2).await else { return };
    cluster.is_spread(2).await;
    let load = Load::start(&cluster.urls(), 16);
    load.goes_on(200).await;
    cluster.nodes[0].kill();
    let killed = Instant::now();
    eventually("the other node serves all shards", || async {
        (serving(&cluster.nodes[1].url()).await == 4).then_some(())
    })
    .await;
    let took = killed.elapsed();
    println!("taken over after {took:?}");
    assert!(took < TAKEOVER, "{took:?}");
    load.goes_on(200).await;
    let told = load.end().await;
    // What was under way on the killed node broke off; everything else was answered.
    assert!(told.failed_only_at(&cluster.nodes[0]), "{:#?}", told.failed);
    let report = cluster.verify().await;
    assert!(report["events"].as_u64().unwrap() >= told.accepted, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_both_nodes_are_restarted_one_after_the_other() {
    let Some(mut cluster) = Cluster::start(2).await else { return };
    cluster.is_spread(2).await;
    let load = Load::start(&cluster.urls(), 16);
    for node in 0..2 {
        load.goes_on(100).await;
        let status = cluster.nodes[node].terminate();
        assert!(status.success(), "{status}\n{}", cluster.nodes[node].log());
        load.goes_on(100).await;
        cluster.nodes[node].launch().await;
    }
    load.goes_on(100).await;
    let told = load.end().await;
    assert!(told.failed.is_empty(), "{:#?}", told.failed);
    let report = cluster.verify().await;
    assert_eq!(report["events"], told.accepted, "each accepted command is one event: {report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_wakes_up_after_it_was_replaced_writes_nothing_and_fences_nobody() {
    let Some(cluster) = Cluster::start(2).await else { return };
    cluster.is_spread(2).await;
    let load = Load::start(&cluster.urls(), 16);
    load.goes_on(200).await;
    let asleep_since = Instant::now();
    cluster.nodes[0].freeze();
    eventually("the other node serves all shards", || async {
        (serving(&cluster.nodes[1].url()).await == 4).then_some(())
    })
    .await;
    let takeover = asleep_since.elapsed();
    assert!(takeover < TAKEOVER, "{takeover:?}");
    load.goes_on(50).await;
    let asleep = asleep_since.elapsed();
    cluster.nodes[0].thaw();
    // The zombie finds out, and the shards are shared again.
    cluster.is_spread(2).await;
    load.goes_on(200).await;
    let told = load.end().await;
    println!("taken over after {takeover:?}, asleep for {asleep:?}, {:#?}", told.failed);
    // Whoever asked the other node waited for the takeover at most, also where the command was in the sleeper's hands.
    assert!(told.failed_only_at(&cluster.nodes[0]), "{:#?}", told.failed);
    let slowest = told.slowest[&cluster.nodes[1].url()];
    assert!(slowest < takeover + MARGIN, "{slowest:?}, taken over after {takeover:?}");
    // Nobody lost a connection: the sleep was shorter than the HTTP server's patience. What the sleeper says itself is true.
    for (_, failure) in &told.failed {
        let honest = ["outcome_unknown", "not_written", "shard_unavailable"];
        assert!(honest.iter().any(|code| failure.contains(code)), "{failure}");
    }
    let report = cluster.verify().await;
    assert!(report["events"].as_u64().unwrap() >= told.accepted, "{report}");
}
