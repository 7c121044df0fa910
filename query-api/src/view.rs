//! One view during one request: as far along as asked, and answering with the positions it reflects.

use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use read_store::{Row, RowKey, Table};
use schemas::{ErrorCode, Positions, Version};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use service_kit::Problem;

use crate::position::{MinPosition, POSITION};
use crate::{QueryState, error, etag};

/// Some tables, and the positions that whatever is read from them now reflects at least.
pub(crate) struct View<'a> {
    state: &'a QueryState,
    positions: Positions,
}

impl<'a> View<'a> {
    /// Waits until `tables` reflect `asked`.
    pub(crate) async fn open(
        state: &'a QueryState,
        tables: &[Table],
        MinPosition(asked): MinPosition,
    ) -> Result<Self, Problem> {
        let partitions = state.progress.partitions();
        let unknown =
            |p: &schemas::Position| p.partition >= partitions && state.progress.reads(tables, &p.topic);
        if let Some(position) = asked.iter().find(unknown) {
            return Err(Problem::of(ErrorCode::InvalidRequest)
                .detail(format!("{position} is not in this log, whose topics have {partitions} partitions"))
                .fact("header", "Millrace-Min-Position")
                .hint("positions belong to one log; leave out those of another"));
        }
        let wait = state.config.min_position_wait_ms.duration();
        state.progress.wait(tables, &asked, wait).await.map_err(|b| error::behind(&b, &state.progress))?;
        // Taken before anything is read: rows may be newer than the answer says, never older.
        Ok(Self { state, positions: state.progress.positions(tables) })
    }

    /// The row of `table` that is alone under `id`.
    pub(crate) async fn get(&self, table: Table, id: &str) -> Result<Option<Row>, Problem> {
        let key = RowKey::new(table, id, "");
        // No row has a key that no store takes.
        if key.check().is_err() {
            return Ok(None);
        }
        self.state.store.get(&key).await.map_err(error::store)
    }

    /// A JSON body as it is.
    pub(crate) fn raw(&self, body: impl Into<Bytes>) -> Response {
        let body = body.into();
        let tag = etag::of_bytes(&body);
        self.tagged(body, &tag)
    }

    fn tagged(&self, body: Bytes, tag: &str) -> Response {
        let json = HeaderValue::from_static("application/json");
        let mut response = ([(CONTENT_TYPE, json)], body).into_response();
        self.stamp(response.headers_mut());
        // Quotes, digits and a dash.
        if let Ok(tag) = HeaderValue::from_str(tag) {
            response.headers_mut().insert(ETAG, tag);
        }
        response
    }

    /// A stored document as it is, with its version as `ETag`.
    pub(crate) fn document(&self, document: Bytes) -> Result<Response, Problem> {
        #[derive(Deserialize)]
        struct Versioned {
            version: Version,
        }
        let Versioned { version } = parse(&document)?;
        Ok(self.tagged(document, &etag::of_version(version)))
    }

    /// A document that is put together, about the stream at `version`.
    pub(crate) fn joined(&self, value: &impl Serialize, version: Version) -> Result<Response, Problem> {
        let body: Bytes = serde_json::to_vec(value).map_err(error::document)?.into();
        let tag = etag::of_parts(version, &body);
        Ok(self.tagged(body, &tag))
    }

    /// A value as JSON.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<Response, Problem> {
        Ok(self.raw(serde_json::to_vec(value).map_err(error::document)?))
    }

    fn stamp(&self, headers: &mut HeaderMap) {
        match HeaderValue::from_str(&self.positions.to_string()) {
            Ok(value) => {
                headers.insert(POSITION, value);
            }
            // Topic names are letters, digits, dots, dashes and underscores.
            Err(error) => tracing::error!(%error, "positions cannot be a header"),
        }
    }
}

/// Reads a stored document.
pub(crate) fn parse<T: DeserializeOwned>(document: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(document).map_err(error::document)
}
