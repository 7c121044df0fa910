//! The routes under `/admin/v1`.

use std::path::PathBuf;
use std::sync::Arc;

use aggregate_host::HostHandle;
use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::get;
use event_log::{Cursor, Log};
use projections::Progress;
use schemas::{ErrorCode, Positions};
use serde::Deserialize;
use service_kit::{Health, Json, Path, Problem, Query, Stop, Tasks};

use crate::app::ProcessManagersSlot;

use super::export::{Exports, Until, log_problem};
use super::loopback::loopback_only;
use super::status::Status;
use super::{LogSummary, TopicSummary, ViewsAdmin};

/// What the routes tell about.
#[derive(Clone)]
pub(crate) struct AdminState {
    /// The log.
    pub(crate) log: Arc<dyn Log>,
    /// `embedded` or `kafka`.
    pub(crate) log_kind: &'static str,
    /// Which parts run in this process.
    pub(crate) parts: Vec<&'static str>,
    /// The folder of what is local.
    pub(crate) data_dir: PathBuf,
    /// The process's components.
    pub(crate) health: Health,
    /// The shards, where commands are decided here.
    pub(crate) host: Option<HostHandle>,
    /// The projector's progress, where one runs here.
    pub(crate) progress: Option<Progress>,
    /// The views, where they are filled or read here.
    pub(crate) views: Option<ViewsAdmin>,
    /// The process managers, where they run here.
    pub(crate) process_managers: ProcessManagersSlot,
    /// Where exports run.
    pub(crate) tasks: Tasks,
    /// Ends exports, before requests are drained.
    pub(crate) accepting: Stop,
}

#[derive(Clone)]
struct Shared {
    state: AdminState,
    exports: Exports,
}

/// The routes, for loopback callers only.
pub(crate) fn router(state: AdminState) -> Router {
    let views = state.views.clone().map(super::views::router).unwrap_or_default();
    let exports = Exports::new(Arc::clone(&state.log), state.tasks.clone(), state.accepting.clone());
    Router::new()
        .route("/admin/v1/status", get(status))
        .route("/admin/v1/log", get(log_summary))
        .route("/admin/v1/log/{topic}/{partition}", get(log_partition))
        .route("/admin/v1/tail", get(tail))
        .with_state(Shared { state, exports })
        .merge(views)
        .route_layer(from_fn(loopback_only))
}

async fn status(State(shared): State<Shared>) -> Result<Json<Status>, Problem> {
    let summary = summary(&shared.state.log).await?;
    Ok(Json(Status::of(&shared.state, &summary)))
}

async fn log_summary(State(shared): State<Shared>) -> Result<Json<LogSummary>, Problem> {
    Ok(Json(summary(&shared.state.log).await?))
}

/// Asking for the stable ends blocks: on Kafka it is a request a partition.
async fn summary(log: &Arc<dyn Log>) -> Result<LogSummary, Problem> {
    let log = Arc::clone(log);
    let asked = tokio::task::spawn_blocking(move || LogSummary::of(&*log)).await;
    asked.map_err(|_| Problem::of(ErrorCode::Internal))?.map_err(|error| log_problem(&error))
}

impl LogSummary {
    /// Asks the log; blocks.
    pub(crate) fn of(log: &dyn Log) -> Result<Self, event_log::Error> {
        let partitions = log.partitions();
        let topics = log.topics().all().iter().map(|topic| {
            let ends = (0..partitions).map(|partition| log.stable_end(topic, partition));
            Ok(TopicSummary { topic: topic.to_string(), stable_ends: ends.collect::<Result<_, _>>()? })
        });
        let topics = topics.collect::<Result<_, event_log::Error>>()?;
        Ok(Self { namespace: log.topics().namespace().to_owned(), partitions, topics })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartitionQuery {
    #[serde(default)]
    from: u64,
    limit: Option<u64>,
}

async fn log_partition(
    State(shared): State<Shared>,
    Path((topic, partition)): Path<(String, u32)>,
    Query(query): Query<PartitionQuery>,
) -> Result<Response, Problem> {
    let from = Cursor { topic: topic.into(), partition, next_offset: query.from };
    shared.exports.stream(vec![from], Until::StableEnd, query.limit).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TailQuery {
    /// `start`, `end`, or where each partition goes on: `topic/partition@next_offset`, comma-separated.
    from: Option<String>,
    /// Comma-separated, with or without the namespace.
    topics: Option<String>,
    limit: Option<u64>,
}

async fn tail(State(shared): State<Shared>, Query(query): Query<TailQuery>) -> Result<Response, Problem> {
    let summary = summary(&shared.state.log).await?;
    let wanted: Vec<String> =
        query.topics.iter().flat_map(|list| list.split(',')).map(|name| name.trim().to_owned()).collect();
    let from = tail_cursors(&summary, &wanted, query.from.as_deref().unwrap_or("end"))?;
    shared.exports.stream(from, Until::Stopped, query.limit).await
}

/// Where a tail begins in every partition of the wanted topics (all when none is named).
pub(crate) fn tail_cursors(
    summary: &LogSummary,
    wanted: &[String],
    from: &str,
) -> Result<Vec<Cursor>, Problem> {
    let invalid = |detail: String| Problem::of(ErrorCode::InvalidRequest).detail(detail);
    if !matches!(from, "start" | "end") {
        let positions: Positions = from.parse().map_err(|error| invalid(format!("from: {error}")))?;
        let cursors = positions.iter().map(|position| Cursor {
            topic: position.topic,
            partition: position.partition,
            next_offset: position.offset,
        });
        return Ok(cursors.collect());
    }
    let full = |name: &String| {
        let long = format!("{}.{name}", summary.namespace);
        let found = summary.topics.iter().find(|topic| topic.topic == *name || topic.topic == long);
        found.ok_or_else(|| {
            let names: Vec<_> = summary.topics.iter().map(|topic| topic.topic.as_str()).collect();
            invalid(format!("there is no topic {name:?}; there are {}", names.join(", ")))
        })
    };
    let topics: Vec<&TopicSummary> = match wanted {
        [] => summary.topics.iter().collect(),
        wanted => wanted.iter().map(full).collect::<Result<_, _>>()?,
    };
    let cursors = topics.into_iter().flat_map(|topic| {
        topic.stable_ends.iter().enumerate().map(|(partition, end)| Cursor {
            topic: topic.topic.as_str().into(),
            partition: u32::try_from(partition).unwrap_or(u32::MAX),
            next_offset: if from == "end" { *end } else { 0 },
        })
    });
    Ok(cursors.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> LogSummary {
        let topic = |name: &str| TopicSummary { topic: format!("shop.{name}"), stable_ends: vec![3, 5] };
        LogSummary {
            namespace: "shop".to_owned(),
            partitions: 2,
            topics: vec![topic("order.events"), topic("commands")],
        }
    }

    fn offsets(wanted: &[&str], from: &str) -> Vec<(String, u32, u64)> {
        let wanted: Vec<_> = wanted.iter().map(|name| (*name).to_owned()).collect();
        let cursors = tail_cursors(&summary(), &wanted, from).unwrap();
        cursors.into_iter().map(|c| (c.topic.to_string(), c.partition, c.next_offset)).collect()
    }

    #[test]
    fn a_tail_begins_at_the_start_or_the_end_of_the_named_topics_or_where_it_was() {
        let order = "shop.order.events".to_owned();
        assert_eq!(offsets(&["order.events"], "end"), [(order.clone(), 0, 3), (order.clone(), 1, 5)]);
        assert_eq!(offsets(&["shop.order.events"], "start"), [(order.clone(), 0, 0), (order.clone(), 1, 0)]);
        assert_eq!(offsets(&[], "start").len(), 4);
        assert_eq!(offsets(&[], "shop.order.events/1@4"), [(order, 1, 4)]);
    }

    #[test]
    fn an_unknown_topic_is_refused_with_the_known_ones() {
        let problem = tail_cursors(&summary(), &["orders".to_owned()], "end").unwrap_err();
        assert!(problem.detail.unwrap().contains("shop.order.events"));
    }
}
