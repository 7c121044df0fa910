//! The nodes that clients may use, and which of them are ready.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How often a node is asked whether it is ready: what a load balancer would do.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long its answer may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// Base URLs with their readiness, which a task per node keeps up to date; a cheap clone.
#[derive(Clone, Debug)]
pub struct Nodes(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    urls: Vec<String>,
    client: reqwest::Client,
    /// Which are ready, by index.
    ready: watch::Receiver<Vec<bool>>,
    lookers: Vec<JoinHandle<()>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.lookers.iter().for_each(JoinHandle::abort);
    }
}

impl Nodes {
    /// The nodes at these base URLs (`http://127.0.0.1:8080`). Needs a runtime; begins to ask whether they are ready.
    pub fn new<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> Self {
        let urls: Vec<String> = urls.into_iter().map(Into::into).collect();
        let client = reqwest::Client::builder()
            .tcp_nodelay(true)
            .build()
            .expect("a client without TLS has no preconditions");
        let (readiness, ready) = watch::channel(vec![false; urls.len()]);
        let readiness = Arc::new(readiness);
        let lookers = urls.iter().enumerate().map(|(index, url)| {
            tokio::spawn(look(client.clone(), format!("{url}/health/ready"), index, Arc::clone(&readiness)))
        });
        let lookers = lookers.collect();
        Self(Arc::new(Shared { urls, client, ready, lookers }))
    }

    /// The client with which all requests are made.
    pub fn client(&self) -> &reqwest::Client {
        &self.0.client
    }

    /// The base URL of a node.
    pub fn url(&self, index: usize) -> &str {
        &self.0.urls[index]
    }

    /// Any node, ready or not; `choice` picks.
    pub(super) fn any(&self, choice: usize) -> &str {
        self.url(choice % self.0.urls.len())
    }

    /// A node that is ready, waiting for one if need be; `choice` picks. None: there was none until `deadline`.
    pub(super) async fn ready(&self, choice: usize, deadline: Instant) -> Option<&str> {
        let mut ready = self.0.ready.clone();
        let ready = tokio::time::timeout_at(deadline, ready.wait_for(|ready| ready.contains(&true))).await;
        let ready = ready.ok()?.ok()?;
        let indexes: Vec<_> = (0..ready.len()).filter(|index| ready[*index]).collect();
        Some(self.url(indexes[choice % indexes.len()]))
    }
}

/// Asks one node for ever.
async fn look(client: reqwest::Client, url: String, index: usize, readiness: Arc<watch::Sender<Vec<bool>>>) {
    loop {
        let answer = client.get(&url).timeout(LOOK_TIMEOUT).send().await;
        let is_ready = answer.is_ok_and(|answer| answer.status().is_success());
        readiness.send_if_modified(|ready| std::mem::replace(&mut ready[index], is_ready) != is_ready);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
