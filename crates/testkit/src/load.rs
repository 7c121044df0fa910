//! Load that is written down: many clients with random commands, whose history is checked afterwards.
//!
//! A few stock streams are fought over: goods are received, corrected, promised to order lines and released, with and
//! without a stated version, while orders for the same goods go through the checkout. Clients are as rude as clients
//! are: they lose patience and ask again, ask twice at once, ask again for what was answered long ago, use an id for two
//! wishes, and go to nodes that are not ready. Each decision of theirs follows from the seed; how the clients' requests
//! interleave does not.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use testkit::history::{Evidence, Recorder, Scope, export_log};
//! use testkit::load::{Load, LoadConfig, Nodes};
//!
//! let (nodes, recorder) = (Nodes::new(["http://127.0.0.1:8080"]), Recorder::new());
//! let load = Load::start(LoadConfig::default(), &nodes, &recorder).await;
//! load.answered(1_000).await; // … and break something.
//! load.stop().await;
//! let log = export_log(nodes.client(), nodes.url(0)).await?;
//! let report = Evidence { history: recorder.history(), log }.must_be_clean("example", &Scope::default());
//! println!("{report}");
//! # Ok(())
//! # }
//! ```

mod answer;
mod client;
mod nodes;
mod operation;
mod wishes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::client::Client;
use self::wishes::Wishes;
use crate::history::Recorder;
pub use nodes::Nodes;
pub use operation::Operation;

/// How much load, and of what kind.
#[derive(Clone, Debug)]
pub struct LoadConfig {
    /// Clients that ask at the same time, each one thing after the other.
    pub clients: u32,
    /// What the clients do follows from it.
    pub seed: u64,
    /// Goods whose stock is fought over. Their names begin with `prefix`.
    pub goods: u32,
    /// Begins the names of goods and orders: two loads on one shop need two.
    pub prefix: String,
    /// Of a hundred operations of a client, how many place an order.
    pub orders_percent: u8,
    /// Most operations of one client; then it ends by itself.
    pub operations_max: usize,
    /// Longest wait for an answer.
    pub answer_timeout: Duration,
    /// How long an operation is repeated until it is decided.
    pub patience: Duration,
    /// Of a hundred requests, how many go to any node instead of one that is ready.
    pub stray_percent: u8,
}

impl Default for LoadConfig {
    fn default() -> Self {
        Self {
            clients: 16,
            seed: 1,
            goods: 4,
            prefix: "LOAD".to_owned(),
            orders_percent: 5,
            operations_max: usize::MAX,
            answer_timeout: Duration::from_secs(10),
            patience: crate::SOON,
            stray_percent: 5,
        }
    }
}

/// Running clients. Dropping it ends them in the middle of what they do.
#[derive(Debug)]
pub struct Load {
    clients: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    answered: watch::Sender<u64>,
}

impl Load {
    /// Puts the goods up for sale (recorded as client 0), then starts the clients (1, 2, …) with wishes at random.
    pub async fn start(config: LoadConfig, nodes: &Nodes, recorder: &Recorder) -> Self {
        let mut load =
            Self::of(&LoadConfig { clients: 1, ..config.clone() }, nodes, recorder, Wishes::opening(&config));
        load.finish().await;
        for number in 1..=config.clients {
            let client = Client::new(number, &config, nodes, recorder, &load.stop, &load.answered);
            load.clients.push(tokio::spawn(client.run()));
        }
        load
    }

    /// Starts clients (0, 1, …) that share `operations` out among them, each asking for its own in order.
    pub fn of(config: &LoadConfig, nodes: &Nodes, recorder: &Recorder, operations: Vec<Operation>) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), watch::Sender::new(0));
        let mut shares = vec![Vec::new(); config.clients.max(1) as usize];
        let clients = shares.len();
        for (index, operation) in operations.into_iter().enumerate() {
            shares[index % clients].push(operation);
        }
        let clients = (0..).zip(shares).map(|(number, share)| {
            let client = Client::new(number, config, nodes, recorder, &stop, &answered);
            tokio::spawn(client.run_through(share))
        });
        Self { clients: clients.collect(), stop, answered }
    }

    /// Waits until so many more requests are told a decision; panics when that takes longer than [`SOON`](crate::SOON).
    pub async fn answered(&self, more: u64) {
        let mut answered = self.answered.subscribe();
        let wanted = *answered.borrow() + more;
        let waited = tokio::time::timeout(crate::SOON, answered.wait_for(|count| *count >= wanted)).await;
        assert!(
            waited.is_ok(),
            "not within {} s: {more} answers to the load's requests",
            crate::SOON.as_secs()
        );
    }

    /// Lets every client finish what it does, repeating it until it is decided.
    pub async fn stop(mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.finish().await;
    }

    /// Waits until every client has done all that it was to do.
    pub async fn finish(&mut self) {
        for client in self.clients.drain(..) {
            client.await.expect("a client does not panic");
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.clients.iter().for_each(JoinHandle::abort);
    }
}
