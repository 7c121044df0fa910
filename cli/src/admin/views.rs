//! The views for operators: how far each projection is, building one anew, and its dead letters.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use event_log::Log;
use projections::{
    Catalogue, DeadLetter, DeadLetters, LetterAction, LetterId, LetterState, Progress, Projection, Purpose,
    RequestError, Streams, ViewError, ViewState, Views,
};
use read_store::{PageCursor, ReadStore, Table};
use schemas::{AggregateType, ErrorCode};
use serde::{Deserialize, Serialize};
use service_kit::{Json, Path, Problem, Query};

/// Dead letters of one page, by default and at most.
const LETTERS_PAGE: usize = 100;
const LETTERS_MAX: usize = 1_000;

/// What the routes read and change. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ViewsAdmin {
    log: Arc<dyn Log>,
    store: Arc<dyn ReadStore>,
    progress: Progress,
    catalogue: Catalogue,
    views: Views,
    letters: DeadLetters,
}

impl ViewsAdmin {
    /// Of the views in `store`, which are made of `log`.
    pub(crate) fn new(log: Arc<dyn Log>, store: Arc<dyn ReadStore>, progress: Progress) -> Self {
        let catalogue = Catalogue::standard();
        let views = Views::new(Arc::clone(&store), catalogue.clone());
        let letters = DeadLetters::new(Arc::clone(&store));
        Self { log, store, progress, catalogue, views, letters }
    }
}

/// One projection, as `GET /admin/v1/projections` lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProjectionReport {
    /// Its generations, and what was compared.
    pub state: ViewState,
    /// Events of the log that the serving generation is made of; on Kafka transaction markers count.
    pub events: u64,
    /// Events between what it has applied and the log's stable end.
    pub lag_events: u64,
    /// Age of the last applied event while there are newer ones, seconds, over the partitions that are projected in the
    /// asked process; none where none are.
    pub lag_seconds: Option<u64>,
    /// Events applied in a second by these partitions, with all their projections.
    pub events_per_s: Option<f64>,
    /// Events that the generation under way has applied; none: none is.
    pub built_events: Option<u64>,
    /// Why partitions of it cannot be built.
    pub build_failures: Vec<String>,
    /// Dead letters by state.
    pub dead_letters: BTreeMap<String, u64>,
}

/// One page of dead letters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LettersPage {
    /// The letters.
    pub items: Vec<DeadLetter>,
    /// What to send as `after` for the next page; none: this was the last.
    pub next: Option<String>,
}

/// What became of a wish about a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterAnswer {
    /// It is carried out once the letter is gone or its `requests_done` has come to this.
    pub request: u64,
}

pub(super) fn router(admin: ViewsAdmin) -> Router {
    Router::new()
        .route("/admin/v1/projections", get(list))
        .route("/admin/v1/projections/{name}", get(show))
        .route("/admin/v1/projections/{name}/build", post(build))
        .route("/admin/v1/projections/{name}/accept", post(accept))
        .route("/admin/v1/projections/{name}/drop", post(drop_generation))
        .route("/admin/v1/dead-letters", get(letters))
        .route("/admin/v1/dead-letters/letter", get(letter))
        .route("/admin/v1/dead-letters/{action}", post(settle))
        .with_state(admin)
}

async fn list(State(admin): State<ViewsAdmin>) -> Result<Json<Vec<ProjectionReport>>, Problem> {
    let ends = admin.ends().await?;
    let letters = admin.letters_by_projection().await?;
    let mut all = Vec::new();
    for (table, _) in admin.catalogue.tables() {
        all.push(admin.report(table, &ends, &letters).await?);
    }
    Ok(Json(all))
}

async fn show(
    State(admin): State<ViewsAdmin>,
    Path(name): Path<String>,
) -> Result<Json<ProjectionReport>, Problem> {
    let table = admin.catalogue.find(&name).ok_or_else(|| view_problem(ViewError::Unknown(name)))?;
    let ends = admin.ends().await?;
    let letters = admin.letters_by_projection().await?;
    Ok(Json(admin.report(table, &ends, &letters).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BuildQuery {
    purpose: Purpose,
}

async fn build(
    State(admin): State<ViewsAdmin>,
    Path(name): Path<String>,
    Query(query): Query<BuildQuery>,
) -> Result<Json<ViewState>, Problem> {
    Ok(Json(admin.views.build(&name, query.purpose).await.map_err(view_problem)?))
}

async fn accept(
    State(admin): State<ViewsAdmin>,
    Path(name): Path<String>,
) -> Result<Json<ViewState>, Problem> {
    Ok(Json(admin.views.accept(&name).await.map_err(view_problem)?))
}

async fn drop_generation(
    State(admin): State<ViewsAdmin>,
    Path(name): Path<String>,
) -> Result<Json<ViewState>, Problem> {
    Ok(Json(admin.views.drop(&name).await.map_err(view_problem)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LettersQuery {
    projection: Option<String>,
    state: Option<LetterState>,
    limit: Option<usize>,
    after: Option<String>,
}

async fn letters(
    State(admin): State<ViewsAdmin>,
    Query(query): Query<LettersQuery>,
) -> Result<Json<LettersPage>, Problem> {
    let limit = query.limit.unwrap_or(LETTERS_PAGE).clamp(1, LETTERS_MAX);
    let after = match &query.after {
        None => None,
        Some(text) => {
            let (partition_key, sort_key) = text.rsplit_once('@').ok_or_else(|| {
                Problem::of(ErrorCode::InvalidRequest).detail("after is not the `next` of an earlier page")
            })?;
            Some(PageCursor { partition_key: partition_key.to_owned(), sort_key: sort_key.to_owned() })
        }
    };
    let (items, next) = admin.letters.page(after.as_ref(), limit).await.map_err(failed)?;
    let is_wanted = |letter: &DeadLetter| {
        let name =
            |name: &String| letter.projection == *name || letter.projection.starts_with(&format!("{name}_v"));
        query.projection.as_ref().is_none_or(name) && query.state.is_none_or(|state| letter.state == state)
    };
    let items = items.into_iter().filter(is_wanted).collect();
    let next = next.map(|cursor| format!("{}@{}", cursor.partition_key, cursor.sort_key));
    Ok(Json(LettersPage { items, next }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LetterQuery {
    id: String,
    principal: Option<String>,
}

fn letter_id(query: &LetterQuery) -> Result<LetterId, Problem> {
    query.id.parse().map_err(|detail: String| Problem::of(ErrorCode::InvalidRequest).detail(detail))
}

async fn letter(
    State(admin): State<ViewsAdmin>,
    Query(query): Query<LetterQuery>,
) -> Result<Json<DeadLetter>, Problem> {
    let id = letter_id(&query)?;
    let letter = admin.letters.get(&id).await.map_err(failed)?;
    Ok(Json(letter.ok_or_else(|| letter_problem(RequestError::NotFound(id)))?))
}

async fn settle(
    State(admin): State<ViewsAdmin>,
    Path(action): Path<String>,
    Query(query): Query<LetterQuery>,
) -> Result<Json<LetterAnswer>, Problem> {
    let action = match &*action {
        "retry" => LetterAction::Retry,
        "skip" => LetterAction::Skip,
        _ => {
            let detail = format!("{action:?} is nothing that can be done with a dead letter: retry or skip");
            return Err(Problem::of(ErrorCode::NotFound).detail(detail));
        }
    };
    let id = letter_id(&query)?;
    let principal = query.principal.as_deref().unwrap_or("operator");
    let request = admin.letters.request(&id, action, principal).await.map_err(letter_problem)?;
    Ok(Json(LetterAnswer { request }))
}

/// Stable ends by aggregate and partition.
type Ends = BTreeMap<(AggregateType, u32), u64>;

impl ViewsAdmin {
    /// Asking for the stable ends blocks: on Kafka it is a request a partition.
    async fn ends(&self) -> Result<Ends, Problem> {
        let log = Arc::clone(&self.log);
        let ask = move || {
            let all = AggregateType::ALL.into_iter().flat_map(|a| (0..log.partitions()).map(move |k| (a, k)));
            let end = |(a, k)| Ok(((a, k), log.stable_end(log.topics().events(a), k)?));
            all.map(end).collect::<Result<Ends, event_log::Error>>()
        };
        let asked = tokio::task::spawn_blocking(ask).await.map_err(|_| Problem::of(ErrorCode::Internal))?;
        asked.map_err(|error| super::export::log_problem(&error))
    }

    async fn letters_by_projection(&self) -> Result<BTreeMap<String, BTreeMap<String, u64>>, Problem> {
        let mut all: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        let mut after = None;
        loop {
            let (letters, next) = self.letters.page(after.as_ref(), LETTERS_MAX).await.map_err(failed)?;
            for letter in letters {
                *all.entry(letter.projection).or_default().entry(letter.state.to_string()).or_default() += 1;
            }
            after = next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    async fn report(
        &self,
        table: Table,
        ends: &Ends,
        letters: &BTreeMap<String, BTreeMap<String, u64>>,
    ) -> Result<ProjectionReport, Problem> {
        let state = self.views.get(table.name()).await.map_err(view_problem)?;
        let read = self.catalogue.tables().find(|(known, _)| *known == table);
        let aggregates = read.map_or(&[][..], |(_, aggregates)| aggregates);
        let events = ends
            .iter()
            .filter(|((aggregate, _), _)| aggregates.contains(aggregate))
            .map(|(_, end)| *end)
            .sum();
        let serving = self.applied(table.of_generation(state.serving)).await?;
        let (mut built_events, mut build_failures) = (None, Vec::new());
        if let Some(build) = &state.building {
            let building = table.of_generation(build.generation);
            built_events = Some(self.applied(building).await?);
            build_failures = self.views.failures(building).await.map_err(failed)?;
        }
        let statuses = self.progress.statuses();
        let mine = statuses.iter().flat_map(|status| &status.projections);
        let seconds =
            mine.filter(|status| status.projection == state.projection).map(|s| s.lag_seconds).max();
        let rate = statuses.iter().map(|status| status.events_per_s).sum::<f64>();
        Ok(ProjectionReport {
            events,
            lag_events: events.saturating_sub(serving),
            lag_seconds: seconds,
            events_per_s: (!statuses.is_empty()).then_some(rate),
            built_events,
            build_failures,
            dead_letters: letters.get(&state.projection).cloned().unwrap_or_default(),
            state,
        })
    }

    async fn applied(&self, table: Table) -> Result<u64, Problem> {
        let stored = self.store.checkpoints(table).await.map_err(|error| failed(error.into()))?;
        Ok(stored.iter().map(|checkpoint| checkpoint.next_offset).sum())
    }
}

fn failed(error: projections::Error) -> Problem {
    tracing::warn!(error = %service_kit::Chain(&error), "an operator's question about the views failed");
    Problem::of(error.code()).detail(service_kit::Chain(&error).to_string())
}

fn view_problem(error: ViewError) -> Problem {
    match error {
        ViewError::Failed(error) => failed(error),
        ViewError::Unknown(_) => Problem::of(ErrorCode::NotFound)
            .detail(error.to_string())
            .hint(format!("`millrace projections` lists them; one is {:?}", Streams::TABLE.name())),
        ViewError::Building { .. } => Problem::of(ErrorCode::InvalidRequest)
            .detail(error.to_string())
            .hint("`millrace rebuild NAME` follows it, `--drop` drops it"),
        ViewError::Retired { .. } => Problem::of(ErrorCode::InvalidRequest)
            .detail(error.to_string())
            .hint("`millrace rebuild NAME --drop`, once every node has turned to the new one"),
        ViewError::Nothing { .. } => Problem::of(ErrorCode::InvalidRequest).detail(error.to_string()),
    }
}

fn letter_problem(error: RequestError) -> Problem {
    match error {
        RequestError::Failed(error) => failed(error),
        RequestError::NotFound(_) => Problem::of(ErrorCode::NotFound)
            .detail(error.to_string())
            .hint("`millrace dead-letters list` shows those that there are"),
        RequestError::WrongState { .. } => Problem::of(ErrorCode::InvalidRequest).detail(error.to_string()),
    }
}
