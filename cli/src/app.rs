//! The composition root: where the parts of the platform become one process.
//!
//! ```text
//!             ┌── commands-api ──▶ host (shards) ──▶ log ──▶ projector ──▶ views ──▶ query-api ──┐
//! HTTP ──────▶┤                        ▲              │                                          ├──▶ HTTP
//!             └── admin, docs          └── process managers ◀──┘                                 ┘
//! ```
//!
//! Started in this order: listener, log, shards, views, HTTP (so that health can be seen), process managers once the
//! shards serve. Stopped in this order, each step for the reason behind it:
//!
//! 1. not ready, but serving: other nodes take the shards over (where there are any), and commands are passed on to them;
//! 2. no new connections;
//! 3. requests under way finish; the process managers finish what they hold, while the shards still answer them;
//! 4. shards finish their turn and hand back their ownership, projectors store where they are;
//! 5. the log closes: whoever would still append has ended;
//! 6. the views are flushed: rows that are lost would only cost time at the next start.

mod log;
mod part;
mod read_side;
mod write_side;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use aggregate_host::HostHandle;
use anyhow::Context as _;
use axum::Router;
use event_log::Log;
use process_managers::ProcessManagersHandle;
use service_kit::{Health, Metrics, Phase, Shutdown, Stop, Tasks, bind, with_layers};

pub(crate) use self::log::open_existing_log;
pub use self::part::Part;
use self::part::Parts;
use crate::admin::{self, AdminState};
use crate::config::Config;
use crate::{docs, report};

/// Starts the platform, or one part of it, in this process.
pub struct App;

impl App {
    /// Starts the parts that the configuration names (by default all), as `millrace up` does, and returns once they serve.
    /// Missing Kafka topics are made.
    pub async fn start(config: Config) -> anyhow::Result<RunningApp> {
        let has = |part| config.parts.contains(&part);
        if config.parts.is_empty() {
            return Err(report::hinted(
                "no part is to run (parts is empty)",
                "leave it out to run all of them",
            ));
        }
        if has(Part::ProcessManagers) && !has(Part::CommandsApi) && !config.is_kafka() {
            return Err(report::hinted(
                "process-managers need commands-api beside them on an embedded log",
                "add commands-api to the parts: no other process can decide commands on this folder",
            ));
        }
        if config.has_cql() && !config.is_kafka() {
            return Err(report::hinted(
                "views are on a CQL server only in the kafka shape (--cql without --kafka)",
                "leave --cql out: an embedded shop keeps its views in its data folder",
            ));
        }
        let parts = Parts::of(&config.parts, config.has_cql());
        start(config, parts).await
    }

    /// Starts one part against Kafka, as `millrace serve` does. The topics must exist.
    pub async fn start_part(config: Config, part: Part) -> anyhow::Result<RunningApp> {
        if !config.is_kafka() {
            return Err(report::hinted(
                "parts can be served alone only against Kafka (--kafka is missing)",
                "an embedded log belongs to one process: `millrace up` serves all of its parts",
            ));
        }
        let parts = Parts::one(part, config.has_cql());
        start(config, parts).await
    }
}

/// The platform, running in this process. Dropping it leaves its tasks running: shut it down.
pub struct RunningApp {
    address: SocketAddr,
    shutdown: Shutdown,
    health: Health,
    host: Option<HostHandle>,
    process_managers: ProcessManagersSlot,
}

/// The process managers once they run.
pub(crate) type ProcessManagersSlot = Arc<OnceLock<ProcessManagersHandle>>;

impl RunningApp {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Base URL, such as `http://127.0.0.1:8080`; for a wildcard address the loopback one.
    pub fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("http://{address}")
    }

    /// Its components.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The shards, where commands are decided in this process.
    pub fn host(&self) -> Option<&HostHandle> {
        self.host.as_ref()
    }

    /// The process managers, where they run in this process.
    pub fn process_managers(&self) -> Option<&ProcessManagersHandle> {
        self.process_managers.get()
    }

    /// Requested when it starts to shut down.
    pub fn stopping(&self) -> Stop {
        self.shutdown.accepting()
    }

    /// Shuts down in order and waits; the data folder can be opened again afterwards. Returns the failure that made a
    /// task stop the process, if one did.
    pub async fn shutdown(self) -> anyhow::Result<()> {
        Ok(self.shutdown.run().await?)
    }

    /// As [`RunningApp::shutdown`], for whoever does not own it.
    pub(crate) async fn stop_now(&self) -> anyhow::Result<()> {
        Ok(self.shutdown.run().await?)
    }

    /// Serves until a signal, or until a task that it cannot do without has failed; then shuts down in order.
    pub async fn run_until_signal(&self) -> anyhow::Result<()> {
        let failed = |error: service_kit::Error| report::RanAndFailed(error.into());
        Ok(self.shutdown.clone().run_on_signal().await.map_err(failed)?)
    }
}

async fn start(config: Config, parts: Parts) -> anyhow::Result<RunningApp> {
    let metrics = Metrics::install()?;
    aggregate_host::describe_metrics();
    commands_api::describe_metrics();
    projections::describe_metrics();
    let tasks = Tasks::new();
    let shutdown = Shutdown::new(tasks.clone(), config.shutdown_timeout_ms);
    metrics.spawn_upkeep(&tasks);
    // First of all: an address that is taken should be known before a folder is opened or a group joined.
    let listener = bind(config.listen).await?;
    let address = listener.local_addr()?;
    let started = Starting { config, parts, metrics, tasks, shutdown: shutdown.clone(), address };
    match started.run(listener).await {
        Ok(app) => Ok(app),
        Err(error) => {
            // A task that failed meanwhile is the reason, what we saw of it only the consequence.
            let failure = shutdown.run().await.err().filter(is_task_failure);
            Err(failure.map_or(error, anyhow::Error::from))
        }
    }
}

fn is_task_failure(error: &service_kit::Error) -> bool {
    matches!(error, service_kit::Error::TaskFailed { .. } | service_kit::Error::TaskPanicked { .. })
}

/// What the start needs at every step.
struct Starting {
    config: Config,
    parts: Parts,
    metrics: Metrics,
    tasks: Tasks,
    shutdown: Shutdown,
    address: SocketAddr,
}

impl Starting {
    async fn run(self, listener: tokio::net::TcpListener) -> anyhow::Result<RunningApp> {
        let Self { config, parts, metrics, tasks, shutdown, address } = &self;
        let health = Health::new();
        let stopping = health.clone();
        shutdown.on(Phase::HandOver, "health", move || async move {
            stopping.set_stopping();
            Ok::<_, service_kit::Error>(())
        });
        let log = log::open(config, *address, parts.makes_topics()).await?;
        let closing = Arc::clone(&log);
        shutdown.on(Phase::Flush, "log", move || async move {
            tokio::task::spawn_blocking(move || closing.close()).await
        });

        let mut router = Router::new();
        let mut documents = Vec::new();
        let host = if parts.commands { Some(write_side::start(config, &log, tasks).await?) } else { None };
        let shards = match &host {
            Some(host) => Some(write_side::shards(config, &log, host, tasks)?),
            None => None,
        };
        if let (Some(host), Some(shards)) = (&host, &shards) {
            write_side::hand_over_at_the_end(config, host, shutdown);
            router = router.merge(write_side::router(config, shards));
            documents.push(serde_json::to_value(commands_api::openapi())?);
        }
        let views = match parts.views {
            Some(part) => {
                let views = read_side::start(config, &log, &part, tasks, &health, shutdown).await?;
                if parts.queries {
                    router = router.merge(views.router(config));
                    documents.push(serde_json::to_value(query_api::openapi())?);
                }
                Some(views)
            }
            None => None,
        };
        documents.push(serde_json::to_value(Health::openapi())?);
        let process_managers = ProcessManagersSlot::default();
        let admin = AdminState {
            log: Arc::clone(&log),
            log_kind: if config.is_kafka() { "kafka" } else { "embedded" },
            parts: parts.names.clone(),
            data_dir: config.data_dir.clone(),
            health: health.clone(),
            host: host.clone(),
            progress: views.as_ref().map(|views| views.progress.clone()),
            views: views.map(|views| views.admin(&log)),
            process_managers: Arc::clone(&process_managers),
            tasks: tasks.clone(),
            accepting: shutdown.accepting(),
        };
        router = router
            .merge(health.router())
            .merge(metrics.router())
            .merge(docs::router(documents))
            .merge(admin::router(admin));
        let shards_health = host.as_ref().map(|_| health.component("shards"));
        let managers = parts.process_managers.then(|| health.component("process-managers"));
        shutdown.serve("http", listener, with_layers(router, &config.http), config.http.clone());

        if let (Some(host), Some(component)) = (&host, shards_health) {
            self.wait_for_shards(host).await?;
            write_side::watch(host.clone(), component, tasks);
        }
        if let Some(component) = managers {
            let handle = write_side::start_process_managers(config, &log, shards, tasks).await?;
            let ending = handle.clone();
            shutdown.on(Phase::FinishRunning, "process-managers", move || async move {
                ending.shutdown().await;
                Ok::<_, service_kit::Error>(())
            });
            let _ = process_managers.set(handle);
            component.ready();
        }
        tracing::info!(%address, "ready");
        Ok(RunningApp { address: *address, shutdown: shutdown.clone(), health, host, process_managers })
    }

    /// Waits until every shard can be reached from here: all of them open on an embedded log; on Kafka each is served here
    /// or has an owner elsewhere.
    async fn wait_for_shards(&self, host: &HostHandle) -> anyhow::Result<()> {
        let stop = self.tasks.stop();
        let total = host.partitions() as usize;
        let mut changes = host.changes();
        let all = async { while host.reachable_now() < total && changes.changed().await.is_ok() {} };
        tokio::select! {
            waited = tokio::time::timeout(self.config.start_timeout_ms.duration(), all) => if waited.is_err() {
                // Not an error: a shard whose state folder was deleted takes as long as its log is long. Its commands wait,
                // or are answered "shard unavailable", until then.
                let reachable = host.reachable_now();
                tracing::warn!(reachable, total, "not all shards are open yet; going on without them");
            },
            () = stop.requested() => anyhow::bail!("stopped while the shards were opened"),
        }
        Ok(())
    }
}

/// Shared by the modules of this one.
type SharedLog = Arc<dyn Log>;

/// Runs something that blocks on a thread for such things.
async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.with_context(|| format!("{what} panicked"))?
}
