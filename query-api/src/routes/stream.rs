//! The history of any aggregate.

use axum::extract::State;
use axum::response::Response;
use projections::{Projection, StreamEntry, Streams};
use schemas::{AggregateType, ErrorCode, StreamId, Version};
use serde::Deserialize;
use service_kit::{Path, Problem, Query, problem_codes};
use utoipa::IntoParams;

use crate::page::{PageQuery, raw_array};
use crate::position::{MinPosition, MinPositionHeader};
use crate::refusals::Refusals;
use crate::view::View;
use crate::{QueryState, error};

problem_codes! {
    /// There is no such aggregate or it has no events; the id or `limit` is none.
    NoStream: NotFound, InvalidValue;
}

/// Which part of a stream.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamQuery {
    /// Only events behind this version; 0 (all) by default.
    after: Option<u64>,
    /// Most events, 1 to 1,000; 100 by default.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<u64>,
}

/// The events of one aggregate, in order. Ask again with `after` = the last version until the array is empty.
#[utoipa::path(
    get,
    path = "/v1/streams/{aggregate}/{id}",
    tag = "streams",
    params(
        ("aggregate" = String, Path, description = "Which aggregate: product, stock, cart, order, payment, customer, shipment"),
        ("id" = String, Path, description = "Which instance"),
        StreamQuery,
        MinPositionHeader,
    ),
    responses(
        (status = 200, description = "Events in order; empty behind the last", body = Vec<StreamEntry>,
            headers(("Millrace-Position" = String, description = "What the answer reflects"))),
        Refusals<NoStream>,
    )
)]
pub(crate) async fn get_stream(
    State(state): State<QueryState>,
    min_position: MinPosition,
    Path((aggregate, id)): Path<(String, String)>,
    Query(query): Query<StreamQuery>,
) -> Result<Response, Problem> {
    let limit = PageQuery::new(query.limit, None).limit()?;
    let aggregate: AggregateType =
        aggregate.parse().map_err(|detail: String| Problem::of(ErrorCode::NotFound).detail(detail))?;
    let stream = StreamId::new(aggregate, &id).map_err(|e| error::invalid("id", e.to_string()))?;
    let view = View::open(&state, &[Streams::TABLE], min_position).await?;
    let key = Streams::partition_key(&stream);
    let from = Streams::sort_key_after(Version::new(query.after.unwrap_or(0)));
    let rows = state.store.scan(Streams::TABLE, &key, &from, limit).await.map_err(error::store)?;
    if rows.is_empty()
        && state.store.scan(Streams::TABLE, &key, "", 1).await.map_err(error::store)?.is_empty()
    {
        return Err(error::not_found(ErrorCode::NotFound, "stream", &stream.to_string()));
    }
    let documents: Vec<_> = rows.into_iter().map(|row| row.document).collect();
    Ok(view.raw(raw_array(&documents)))
}
