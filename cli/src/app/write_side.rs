//! The write side: shards, their HTTP routes, and the process managers.

use std::sync::Arc;
use std::time::Duration;

use aggregate_host::{Host, HostHandle};
use anyhow::Context as _;
use axum::Router;
use command_client::{Commands, HttpCommands, HttpCommandsConfig};
use commands_api::{ApiState, LocalCommands};
use process_managers::{ProcessManagers, ProcessManagersHandle, Providers, SandboxCarrier, SandboxProvider};
use read_store::{FjallConfig, FjallStore};
use service_kit::{ComponentHealth, OnError, Tasks};

use super::{SharedLog, blocking};
use crate::config::Config;

/// How often the number of served shards is looked at for the health report.
const WATCH: Duration = Duration::from_millis(500);

/// Joins the group of the shards; they open in the background.
pub(super) async fn start(config: &Config, log: &SharedLog, tasks: &Tasks) -> anyhow::Result<HostHandle> {
    let (log, limits, tasks) = (Arc::clone(log), config.host.clone(), tasks.clone());
    let folder = config.data_dir.join("state");
    blocking("starting the shards", move || {
        Host::start(log, limits, folder, &tasks).context("cannot start the shards")
    })
    .await
}

/// The routes for commands.
pub(super) fn router(config: &Config, host: &HostHandle) -> Router {
    commands_api::router(ApiState { host: host.clone(), config: config.commands_api.clone() })
}

/// Keeps the component as healthy as the shards are: all have to be served here, unless they are shared with other nodes.
pub(super) fn watch(host: HostHandle, is_shared: bool, component: ComponentHealth, tasks: &Tasks) {
    let stop = tasks.stop();
    tasks.spawn("shards-health", OnError::Log, async move {
        loop {
            match (host.serving_now(), host.partitions() as usize) {
                (0, _) => component.degraded("no shard is served here"),
                (serving, total) if serving < total && !is_shared => {
                    component.degraded(format!("{serving} of {total} shards are served"));
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
    host: Option<&HostHandle>,
    tasks: &Tasks,
) -> anyhow::Result<ProcessManagersHandle> {
    let commands: Arc<dyn Commands> = match host {
        Some(host) => Arc::new(LocalCommands::new(host.clone())),
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
    let folder = FjallConfig { path: config.data_dir.join("process-managers"), ..FjallConfig::default() };
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
