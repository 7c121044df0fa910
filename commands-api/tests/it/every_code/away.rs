//! Views on a server that is not there.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::Request;
use projections::{Catalogue, Progress};
use query_api::{QueryConfig, QueryState};
use read_store::{ChangeBatch, Checkpoint, Error, Page, PageCursor, ReadStore, Row, RowKey, Table};
use serde_json::Value;

use super::platform::answer;
use super::shop::Shop;

/// As a CQL server that refuses connections.
struct Away;

fn away<T>() -> Result<T, Error> {
    Err(Error::Unavailable { what: "reading the read models", source: "connection refused".into() })
}

#[async_trait]
impl ReadStore for Away {
    async fn apply(&self, _batch: ChangeBatch) -> Result<(), Error> {
        away()
    }
    async fn get(&self, _key: &RowKey) -> Result<Option<Row>, Error> {
        away()
    }
    async fn get_many(&self, _keys: &[RowKey]) -> Result<Vec<Option<Row>>, Error> {
        away()
    }
    async fn scan(&self, _table: Table, _key: &str, _from: &str, _limit: usize) -> Result<Vec<Row>, Error> {
        away()
    }
    async fn scan_table(
        &self,
        _table: Table,
        _after: Option<&PageCursor>,
        _limit: usize,
    ) -> Result<Page, Error> {
        away()
    }
    async fn checkpoints(&self, _table: Table) -> Result<Vec<Checkpoint>, Error> {
        away()
    }
    async fn drop_table(&self, _table: Table) -> Result<(), Error> {
        away()
    }
    async fn flush(&self) -> Result<(), Error> {
        away()
    }
}

pub(super) async fn read_model_unavailable(shop: &Shop) -> Value {
    let log = shop.app.log();
    let progress = Progress::new(log.topics().clone(), log.partitions(), &Catalogue::standard());
    let queries = query_api::router(QueryState::new(Arc::new(Away), progress, QueryConfig::default()));
    answer(queries, Request::get("/v1/products/P").body(Body::empty()).unwrap()).await
}
