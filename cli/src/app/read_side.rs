//! The read side: the views, the projector that fills them, and their HTTP routes.

use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use projections::{Catalogue, Progress, Projector};
use query_api::QueryState;
use read_store::{FjallConfig, FjallStore, ReadStore};
use service_kit::{Health, Phase, Shutdown, Tasks};

use super::{SharedLog, blocking};
use crate::config::Config;

/// The views of this process.
pub(super) struct Views {
    store: Arc<dyn ReadStore>,
    pub(super) progress: Progress,
}

/// Opens the views in `folder` of the data folder and starts to follow the log.
pub(super) async fn start(
    config: &Config,
    log: &SharedLog,
    folder: &str,
    tasks: &Tasks,
    health: &Health,
    shutdown: &Shutdown,
) -> anyhow::Result<Views> {
    let store = FjallConfig {
        path: config.data_dir.join(folder),
        cache_bytes_max: config.views.cache_bytes_max.get(),
        memory_table_bytes_max: config.views.memory_table_bytes_max.get(),
    };
    let store: Arc<dyn ReadStore> =
        Arc::new(blocking("opening the views", move || Ok(FjallStore::open(store)?)).await?);
    let projector =
        Projector::open(Arc::clone(log), Arc::clone(&store), Catalogue::standard(), config.projector.clone())
            .await
            .context("cannot start the projector")?;
    let progress = projector.progress();
    projector.start(tasks, health);
    let flushed = Arc::clone(&store);
    shutdown.on(Phase::StoreProgress, "views", move || async move { flushed.flush().await });
    Ok(Views { store, progress })
}

impl Views {
    /// The routes for queries.
    pub(super) fn router(&self, config: &Config) -> Router {
        let (store, progress) = (Arc::clone(&self.store), self.progress.clone());
        query_api::router(QueryState::new(store, progress, config.query_api.clone()))
    }
}
