//! Which generation of each projection serves, which is being built anew beside it, and what operators want of that.
//!
//! One row a projection in a table of the read store, so that every process of an installation sees the same: projectors write
//! the generation that serves, build the one that is to come and keep the retired one up to date; whoever answers queries reads
//! the serving one once it lacks nothing of what was seen before. A row is stamped by how often it was written.

use std::collections::BTreeMap;
use std::sync::Arc;

use read_store::{Change, ChangeBatch, ReadStore, Row, RowKey, Source, Table};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::compare::Comparison;
use crate::{Catalogue, Error, Progress};

/// Partition key: the projection.
const VIEWS: Table = Table::new("view", 1);
/// Why a partition cannot be built: partition key the table with its generation, sort key the partition.
const BUILD_FAILURES: Table = Table::new("view_build_failure", 1);
/// Most partitions whose failures are read.
const FAILURES_MAX: usize = 1_000;

/// What a new generation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// It takes the serving one's place: at once when they are equal, otherwise when an operator accepts the differences.
    Replace,
    /// It is compared with the serving one and goes.
    Verify,
}

/// A generation that is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Its number.
    pub generation: u32,
    /// What for.
    pub purpose: Purpose,
    /// Whether it may replace the serving one whatever the comparison says.
    pub accepts_differences: bool,
    /// What the comparison found; none: it is not complete yet.
    pub comparison: Option<Comparison>,
}

/// One projection's generations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewState {
    /// Name and version, such as `order_v1`.
    pub projection: String,
    /// The generation that serves.
    pub serving: u32,
    /// The one that is built.
    pub building: Option<Build>,
    /// The one that served before, and follows the log until it is dropped.
    pub retired: Option<u32>,
    /// Generations whose rows are being removed.
    #[serde(default)]
    pub dropping: Vec<u32>,
    /// The greatest number that was ever given away.
    pub newest: u32,
    /// The last complete comparison.
    pub last_comparison: Option<Comparison>,
    /// How often the row was written.
    pub revision: u64,
}

impl ViewState {
    /// That of a projection that was never built anew.
    pub fn first(table: Table) -> Self {
        Self {
            projection: table.to_string(),
            serving: 1,
            building: None,
            retired: None,
            dropping: Vec::new(),
            newest: 1,
            last_comparison: None,
            revision: 0,
        }
    }

    /// As it is once `generation` is to go.
    pub(crate) fn dropping(mut self, generation: u32) -> Self {
        self.dropping.push(generation);
        self
    }

    /// The generations beside the serving one that follow the log.
    pub(crate) fn followers(&self) -> impl Iterator<Item = u32> {
        self.building.as_ref().map(|build| build.generation).into_iter().chain(self.retired)
    }
}

/// The generations of all projections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ViewStates(BTreeMap<Table, ViewState>);

impl ViewStates {
    /// The serving generation of a table, whichever generation is asked about.
    pub(crate) fn serving(&self, table: Table) -> Table {
        let state = self.0.get(&table.of_generation(1));
        table.of_generation(state.map_or(1, |state| state.serving))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Table, &ViewState)> {
        self.0.iter().map(|(table, state)| (*table, state))
    }
}

/// Why a wish about a projection's generations is refused.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// There is no such projection.
    #[error("there is no projection {0:?}")]
    Unknown(String),
    /// One is being built already.
    #[error("generation {generation} of {projection} is being built already")]
    Building {
        /// The projection.
        projection: String,
        /// The generation.
        generation: u32,
    },
    /// The one that served before has not been dropped.
    #[error("{projection} still has its retired generation {generation}; drop it first")]
    Retired {
        /// The projection.
        projection: String,
        /// The generation.
        generation: u32,
    },
    /// There is nothing to accept or drop.
    #[error("{projection} has no generation that could be {what}")]
    Nothing {
        /// The projection.
        projection: String,
        /// What was wanted.
        what: &'static str,
    },
    /// The store failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// The generations of a catalogue's projections in one store. Cheap to clone.
#[derive(Clone)]
pub struct Views {
    store: Arc<dyn ReadStore>,
    catalogue: Catalogue,
}

impl Views {
    /// Those in `store`.
    pub fn new(store: Arc<dyn ReadStore>, catalogue: Catalogue) -> Self {
        Self { store, catalogue }
    }

    /// All of them, read at once.
    pub(crate) async fn states(&self) -> Result<ViewStates, Error> {
        let tables: Vec<Table> = self.catalogue.tables().map(|(table, _)| table).collect();
        let mut states: BTreeMap<_, _> =
            tables.iter().map(|table| (*table, ViewState::first(*table))).collect();
        let mut after = None;
        loop {
            let page = self.store.scan_table(VIEWS, after.as_ref(), tables.len().max(1)).await?;
            for row in &page.rows {
                let known = tables.iter().find(|table| table.to_string() == row.partition_key);
                // One that this program does not have is another program's.
                if let Some(table) = known {
                    states.insert(*table, parse(*table, row)?);
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(ViewStates(states));
            }
        }
    }

    /// One projection's; `order` and `order_v1` name the same.
    pub async fn get(&self, projection: &str) -> Result<ViewState, ViewError> {
        Ok(self.of(self.table(projection)?).await?)
    }

    fn table(&self, projection: &str) -> Result<Table, ViewError> {
        self.catalogue.find(projection).ok_or_else(|| ViewError::Unknown(projection.to_owned()))
    }

    async fn of(&self, table: Table) -> Result<ViewState, Error> {
        match self.store.get(&RowKey::new(VIEWS, table.to_string(), "")).await? {
            None => Ok(ViewState::first(table)),
            Some(row) => parse(table, &row),
        }
    }

    pub(crate) async fn write(&self, state: ViewState) -> Result<ViewState, Error> {
        let state = ViewState { revision: state.revision + 1, ..state };
        let document = serde_json::to_vec(&state).map_err(|error| {
            Error::Store(read_store::Error::Damaged { what: format!("the state of a view: {error}") })
        })?;
        let key = RowKey::new(VIEWS, &*state.projection, "");
        let changes = vec![Change::put(key, document, Source::new("views", 0), state.revision)];
        self.store.apply(ChangeBatch { changes, checkpoints: Vec::new() }).await?;
        Ok(state)
    }

    /// Begins to build the next generation beside the serving one.
    pub async fn build(&self, projection: &str, purpose: Purpose) -> Result<ViewState, ViewError> {
        let state = self.get(projection).await?;
        if let Some(build) = &state.building {
            return Err(ViewError::Building {
                projection: state.projection.clone(),
                generation: build.generation,
            });
        }
        if let Some(generation) = state.retired.filter(|_| purpose == Purpose::Replace) {
            return Err(ViewError::Retired { projection: state.projection, generation });
        }
        let generation = state.newest + 1;
        let build = Build { generation, purpose, accepts_differences: false, comparison: None };
        Ok(self.write(ViewState { building: Some(build), newest: generation, ..state }).await?)
    }

    /// Lets the generation that is built serve although it differs.
    pub async fn accept(&self, projection: &str) -> Result<ViewState, ViewError> {
        let state = self.get(projection).await?;
        match state.building.clone().filter(|build| build.purpose == Purpose::Replace) {
            Some(build) => {
                let building = Some(Build { accepts_differences: true, ..build });
                Ok(self.write(ViewState { building, ..state }).await?)
            }
            None => Err(ViewError::Nothing { projection: state.projection, what: "accepted" }),
        }
    }

    /// Drops what is built, or else the generation that served before. Its rows are removed once nobody writes them any more.
    pub async fn drop(&self, projection: &str) -> Result<ViewState, ViewError> {
        let state = self.get(projection).await?;
        let next = match (&state.building, state.retired) {
            (Some(build), _) => {
                let generation = build.generation;
                ViewState { building: None, ..state }.dropping(generation)
            }
            (None, Some(retired)) => ViewState { retired: None, ..state }.dropping(retired),
            (None, None) => {
                return Err(ViewError::Nothing { projection: state.projection, what: "dropped" });
            }
        };
        Ok(self.write(next).await?)
    }

    /// Notes that the rows of a generation are removed.
    pub(crate) async fn dropped(&self, projection: &str, generation: u32) -> Result<(), ViewError> {
        let mut state = self.get(projection).await?;
        state.dropping.retain(|known| *known != generation);
        self.write(state).await?;
        Ok(())
    }

    pub(crate) async fn drop_rows(&self, table: Table) -> Result<(), Error> {
        Ok(self.store.drop_table(table).await?)
    }

    /// Notes why a partition of a table cannot be built; none: it can (again).
    pub(crate) async fn note_failure(
        &self,
        table: Table,
        partition: u32,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let key = RowKey::new(BUILD_FAILURES, table.to_string(), format!("{partition:010}"));
        let stored = self.store.get(&key).await?;
        let known =
            stored.as_ref().and_then(|row| serde_json::from_slice::<Option<String>>(&row.document).ok());
        if known.flatten().as_deref() == reason {
            return Ok(());
        }
        let offset = stored.map_or(0, |row| row.last_offset) + 1;
        let source = Source::new("views", partition);
        let document = serde_json::to_vec(&reason).unwrap_or_default();
        let changes = vec![Change::put(key, document, source, offset)];
        Ok(self.store.apply(ChangeBatch { changes, checkpoints: Vec::new() }).await?)
    }

    /// Why partitions of a table cannot be built.
    pub async fn failures(&self, table: Table) -> Result<Vec<String>, Error> {
        let rows = self.store.scan(BUILD_FAILURES, &table.to_string(), "", FAILURES_MAX).await?;
        let reasons =
            rows.iter().filter_map(|row| serde_json::from_slice::<Option<String>>(&row.document).ok()?);
        Ok(reasons.collect())
    }
}

fn parse(table: Table, row: &Row) -> Result<ViewState, Error> {
    serde_json::from_slice(&row.document).map_err(|error| {
        let what = format!("the state of the view {table}: {error}");
        Error::Store(read_store::Error::Damaged { what })
    })
}

/// Has readers turn to the generations that serve, each once it lacks nothing of what they may have seen.
pub(crate) async fn follow_serving(
    states: &ViewStates,
    store: &dyn ReadStore,
    progress: &Progress,
) -> Result<(), Error> {
    for (table, _) in states.iter() {
        let serving = states.serving(table);
        if progress.serving(table) != serving && progress.switch(serving, &store.checkpoints(serving).await?)
        {
            tracing::info!(%serving, "another generation of a view serves");
            // What was stored between reading and turning was told to nobody.
            progress.advance(&store.checkpoints(serving).await?);
        }
    }
    Ok(())
}
