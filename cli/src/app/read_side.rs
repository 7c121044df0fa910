//! The read side: the views, the projector that fills them, and their HTTP routes.
//!
//! Views in the data folder are of one process, which fills them itself. Those on a CQL server are everybody's: a process that
//! only answers queries reads what projectors elsewhere have written, and how far they are.

use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use projections::{Catalogue, Follower, Progress, Projector, ServingStore, Sharing};
use query_api::QueryState;
use read_store::{CqlStore, FjallConfig, FjallStore, ReadStore};
use service_kit::{Health, Phase, Shutdown, Tasks};

use super::part::ViewsPart;
use super::{SharedLog, blocking};
use crate::admin::ViewsAdmin;
use crate::config::Config;

/// The views of this process.
pub(super) struct Views {
    store: Arc<dyn ReadStore>,
    pub(super) progress: Progress,
}

/// Opens the views, and starts to follow the log or those who do.
pub(super) async fn start(
    config: &Config,
    log: &SharedLog,
    part: &ViewsPart,
    tasks: &Tasks,
    health: &Health,
    shutdown: &Shutdown,
) -> anyhow::Result<Views> {
    let store = open(config, part).await?;
    let catalogue = Catalogue::standard();
    let progress = if part.projects {
        let projector =
            Projector::open(Arc::clone(log), Arc::clone(&store), catalogue, config.projector.clone())
                .await
                .context("cannot start the projector")?;
        let progress = projector.progress();
        let sharing = if config.has_cql() { Sharing::Group } else { Sharing::Alone };
        projector.start(sharing, tasks, health);
        if sharing == Sharing::Group {
            // What the others have filled.
            let (progress, store) = (progress.clone(), Arc::clone(&store));
            let follower = Follower::beside(progress, store, Catalogue::standard(), &config.projector).await;
            follower.context("cannot read how far the views are")?.start(tasks, health);
        }
        progress
    } else {
        let follower = Follower::open(&**log, Arc::clone(&store), catalogue, &config.projector)
            .await
            .context("cannot read how far the views are")?;
        let progress = follower.progress();
        follower.start(tasks, health);
        progress
    };
    let flushed = Arc::clone(&store);
    shutdown.on(Phase::StoreProgress, "views", move || async move { flushed.flush().await });
    Ok(Views { store, progress })
}

async fn open(config: &Config, part: &ViewsPart) -> anyhow::Result<Arc<dyn ReadStore>> {
    if config.has_cql() {
        let store = CqlStore::open(config.cql_store()).await.context("cannot open the views")?;
        return Ok(Arc::new(store));
    }
    let store = FjallConfig {
        path: config.data_dir.join(part.folder),
        cache_bytes_max: config.views.cache_bytes_max.get(),
        memory_table_bytes_max: config.views.memory_table_bytes_max.get(),
    };
    Ok(Arc::new(blocking("opening the views", move || Ok(FjallStore::open(store)?)).await?))
}

impl Views {
    /// The routes for queries.
    pub(super) fn router(&self, config: &Config) -> Router {
        let progress = self.progress.clone();
        let store = Arc::new(ServingStore::new(Arc::clone(&self.store), progress.clone()));
        query_api::router(QueryState::new(store, progress, config.query_api.clone()))
    }

    /// What operators see of them.
    pub(super) fn admin(self, log: &SharedLog) -> ViewsAdmin {
        ViewsAdmin::new(Arc::clone(log), self.store, self.progress)
    }
}
