//! The write side: shards, their HTTP routes, and the process managers.

use std::sync::Arc;
use std::time::Duration;

use aggregate_host::{Host, HostHandle};
use anyhow::Context as _;
use axum::Router;
use command_client::{Commands, HttpCommands, HttpCommandsConfig};
use commands_api::{ApiState, Shards};
use process_managers::{ProcessManagers, ProcessManagersHandle, Providers, SandboxCarrier, SandboxProvider};
use read_store::{FjallConfig, FjallStore};
use schemas::InstallationSecret;
use service_kit::{ComponentHealth, OnError, Phase, Shutdown, Tasks};

use super::{SharedLog, blocking};
use crate::config::Config;

/// How often the number of served shards is looked at for the health report.
const WATCH: Duration = Duration::from_millis(500);
/// Memory of the process managers' store: of open matters only, which are written once and removed soon.
const MATTERS_CACHE_BYTES: u64 = 8 << 20;
const MATTERS_MEMORY_TABLE_BYTES: u64 = 8 << 20;

/// Joins the group of the shards; they open in the background.
pub(super) async fn start(config: &Config, log: &SharedLog, tasks: &Tasks) -> anyhow::Result<HostHandle> {
    let (log, limits, tasks) = (Arc::clone(log), config.host.clone(), tasks.clone());
    let secret = secret(config)?;
    let folder = config.data_dir.join("state");
    blocking("starting the shards", move || {
        Host::start(log, limits, folder, secret, &tasks).context("cannot start the shards")
    })
    .await
}

/// All shards, wherever they are decided.
pub(super) fn shards(
    config: &Config,
    log: &SharedLog,
    host: &HostHandle,
    tasks: &Tasks,
) -> anyhow::Result<Shards> {
    let wait = Duration::from_millis(config.commands_api.handover_wait_ms);
    if !log.is_shared() {
        return Ok(Shards::alone(host.clone(), wait));
    }
    Ok(Shards::shared(host.clone(), wait, secret(config)?, tasks))
}

fn secret(config: &Config) -> anyhow::Result<Option<InstallationSecret>> {
    let secret = config.installation_secret.as_ref().map(|secret| InstallationSecret::new(secret.expose()));
    secret.transpose().context("installation_secret")
}

/// The routes for commands.
pub(super) fn router(config: &Config, shards: &Shards) -> Router {
    commands_api::router(ApiState { shards: shards.clone(), config: config.commands_api.clone() })
}

/// At the end other nodes take the shards over while this one still serves: it passes commands on to them. A node that is
/// alone keeps its shards until its last request is answered.
pub(super) fn hand_over_at_the_end(config: &Config, host: &HostHandle, shutdown: &Shutdown) {
    let (host, delay) = (host.clone(), config.drain_delay_ms.duration());
    shutdown.on(Phase::HandOver, "shards", move || async move {
        let asked = host.clone();
        if !blocking("asking for other nodes", move || Ok(asked.has_others()?)).await? {
            return Ok::<_, anyhow::Error>(());
        }
        let delay = tokio::time::sleep(delay);
        host.stop();
        host.handed_over().await;
        delay.await;
        Ok(())
    });
}

/// Keeps the component as healthy as the shards are: each has to be served here, or by a node that is known.
pub(super) fn watch(host: HostHandle, component: ComponentHealth, tasks: &Tasks) {
    let stop = tasks.stop();
    tasks.spawn("shards-health", OnError::Log, async move {
        loop {
            match (host.reachable_now(), host.partitions() as usize) {
                (reachable, total) if reachable < total => {
                    component.degraded(format!("{reachable} of {total} shards can be reached"));
                }
                _ => component.ready(),
            }
            if tokio::time::timeout(WATCH, stop.requested()).await.is_ok() {
                return Ok::<_, service_kit::Error>(());
            }
        }
    });
}

/// Starts the process managers: on the shards of this process where there are any, otherwise over HTTP.
pub(super) async fn start_process_managers(
    config: &Config,
    log: &SharedLog,
    shards: Option<Shards>,
    tasks: &Tasks,
) -> anyhow::Result<ProcessManagersHandle> {
    let commands: Arc<dyn Commands> = match shards {
        Some(shards) => Arc::new(shards),
        None => {
            let http =
                HttpCommandsConfig { url: config.commands_url.clone(), ..HttpCommandsConfig::default() };
            Arc::new(HttpCommands::start(tasks, http)?)
        }
    };
    let providers = Providers {
        payments: Arc::new(SandboxProvider::new(config.sandbox)),
        carrier: Arc::new(SandboxCarrier::new()),
    };
    let folder = FjallConfig {
        path: config.data_dir.join("process-managers"),
        cache_bytes_max: MATTERS_CACHE_BYTES,
        memory_table_bytes_max: MATTERS_MEMORY_TABLE_BYTES,
    };
    let matters =
        blocking("opening the process managers' store", move || Ok(FjallStore::open(folder)?)).await?;
    let managers = ProcessManagers::new(
        Arc::clone(log),
        commands,
        providers,
        Arc::new(matters),
        config.process_managers.clone(),
    )?;
    managers.start(tasks).await.context("cannot start the process managers")
}
