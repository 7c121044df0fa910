//! Looks after the generations of the views: has them built, compares them, lets one serve in the other's place.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use read_store::{Checkpoint, Source, Table};
use service_kit::{Chain, OnError, Stop, TaskHandle, Tasks};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::assignment::Assigned;
use super::building::Building;
use super::partition::Shared;
use crate::compare::{Comparing, Comparison};
use crate::views::{Build, Purpose, ViewState, ViewStates, Views};
use crate::{Error, views};

/// Between two looks at a comparison under way.
const COMPARING: Duration = Duration::from_millis(50);

type ComparisonTask = JoinHandle<Result<Option<Comparison>, Error>>;

pub(super) struct Coordinator {
    shared: Shared,
    views: Views,
    states: watch::Sender<ViewStates>,
    /// The partitions that are projected in this process.
    assigned: Assigned,
    tasks: Tasks,
    /// What is built here.
    running: BTreeMap<(Table, u32), Running>,
    /// Where the serving tables were when this process first saw the builds.
    goals: BTreeMap<Table, Vec<Checkpoint>>,
    /// The comparison under way; one at a time.
    comparing: Option<(Table, ComparisonTask)>,
    /// Tables that are to be dropped, and since when this process knows.
    dropping: BTreeMap<Table, Instant>,
}

struct Running {
    stop: Stop,
    handle: TaskHandle,
    /// When it was seen to have ended although it is wanted.
    failed_at: Option<Instant>,
}

impl Coordinator {
    pub(super) fn new(
        shared: Shared,
        views: Views,
        states: watch::Sender<ViewStates>,
        assigned: Assigned,
        tasks: Tasks,
    ) -> Self {
        Self {
            shared,
            views,
            states,
            assigned,
            tasks,
            running: BTreeMap::new(),
            goals: BTreeMap::new(),
            comparing: None,
            dropping: BTreeMap::new(),
        }
    }

    /// Starts the task `views-builds`, and `views-turn`, which has readers turn to another generation: until they do, they see nothing
    /// new.
    pub(super) fn start(mut self) -> Vec<TaskHandle> {
        let (stop, tasks) = (self.tasks.stop(), self.tasks.clone());
        let turning = turn(self.shared.clone(), stop.clone());
        let turning = tasks.spawn("views-turn", OnError::Log, turning);
        let looking = tasks.spawn("views-builds", OnError::Log, async move {
            let interval = self.shared.config.lag_interval_ms.duration();
            let mut was_told = false;
            loop {
                match self.round(&stop).await {
                    Ok(()) => was_told = false,
                    Err(error) => {
                        if !std::mem::replace(&mut was_told, true) {
                            tracing::warn!(reason = %Chain(&error), "the views' generations cannot be looked after; it is tried further");
                        }
                    }
                }
                tokio::select! {
                    () = stop.requested() => return Ok::<_, Error>(()),
                    () = tokio::time::sleep(if self.comparing.is_some() { COMPARING } else { interval }) => {}
                }
            }
        });
        vec![looking, turning]
    }

    async fn round(&mut self, stop: &Stop) -> Result<(), Error> {
        let states = self.views.states().await?;
        self.keep_building(&states);
        self.publish(&states);
        // One process of those that project looks after what concerns all partitions.
        if self.assigned.borrow().first() != Some(&0) {
            return Ok(());
        }
        let is_built = |table: Table| {
            let mut builds =
                states.iter().filter_map(|(t, state)| Some((t, state.building.as_ref()?.generation)));
            builds.any(|(base, generation)| base.of_generation(generation) == table)
        };
        // What was compared for a build that is gone is nobody's any more.
        self.comparing.take_if(|(of, comparison)| comparison.is_finished() && !is_built(*of));
        let mut flipped = false;
        for (table, state) in states.iter() {
            match &state.building {
                Some(build) => flipped |= self.look_after(table, state, build, stop).await?,
                None => self.goals.retain(|goal, _| goal.of_generation(1) != table),
            }
            for generation in &state.dropping {
                self.drop_generation(table.of_generation(*generation), state).await?;
            }
        }
        if flipped {
            self.publish(&self.views.states().await?);
        }
        Ok(())
    }

    fn publish(&self, states: &ViewStates) {
        self.states.send_if_modified(|known| {
            let is_new = known != states;
            known.clone_from(states);
            is_new
        });
    }

    /// Removes a table once nobody writes it any more: its threads here have ended, and those elsewhere have had the time to.
    async fn drop_generation(&mut self, table: Table, state: &ViewState) -> Result<(), Error> {
        let grace = self.shared.config.lag_interval_ms.duration() * 3;
        let known_for = self.dropping.entry(table).or_insert_with(Instant::now).elapsed();
        if known_for < grace || self.running.keys().any(|(running, _)| *running == table) {
            return Ok(());
        }
        self.views.drop_rows(table).await?;
        self.dropping.remove(&table);
        self.views.dropped(&state.projection, table.generation()).await.map_err(into_error)
    }

    /// Starts the threads that are missing, and stops those that are no longer wanted.
    fn keep_building(&mut self, states: &ViewStates) {
        let partitions = self.assigned.borrow().clone();
        let wanted: Vec<(Table, u32)> = states
            .iter()
            .flat_map(|(table, state)| {
                state.followers().map(move |generation| table.of_generation(generation))
            })
            .flat_map(|table| partitions.iter().map(move |k| (table, *k)))
            .collect();
        let pause = self.shared.config.backoff.max_ms.duration();
        self.running.retain(|key, running| {
            if !wanted.contains(key) {
                running.stop.request();
                return !running.handle.has_ended();
            }
            // An event that could not be folded may have been skipped meanwhile.
            let ended = running.handle.has_ended();
            !ended || running.failed_at.get_or_insert_with(Instant::now).elapsed() < pause
        });
        for (table, partition) in wanted {
            if self.running.contains_key(&(table, partition)) {
                continue;
            }
            let building =
                Building { partition, table, shared: self.shared.clone(), views: self.views.clone() };
            let own = self.tasks.stop().child();
            let ending = own.clone();
            let handle =
                self.tasks.spawn_thread(format!("view-{table}-{partition}"), OnError::Log, move |_| {
                    building.run(&ending)
                });
            self.running.insert((table, partition), Running { stop: own, handle, failed_at: None });
        }
    }

    /// Compares a build that is complete, and does what follows. Says whether another generation serves.
    async fn look_after(
        &mut self,
        table: Table,
        state: &ViewState,
        build: &Build,
        stop: &Stop,
    ) -> Result<bool, Error> {
        let (serving, other) = (table.of_generation(state.serving), table.of_generation(build.generation));
        if !self.has_reached(serving, other).await? {
            return Ok(false);
        }
        let comparison = match &build.comparison {
            Some(known) => known.clone(),
            None => match self.compare(serving, other, stop).await? {
                Some(found) => {
                    tracing::info!(%serving, %other, rows = found.rows, differing = found.differing, "a view is compared");
                    found
                }
                None => return Ok(false),
            },
        };
        // An operator may have dropped it meanwhile.
        let now = self.views.get(&state.projection).await.map_err(into_error)?;
        if now.building.as_ref().map(|now| now.generation) != Some(build.generation) {
            return Ok(false);
        }
        let accepts = now.building.as_ref().is_some_and(|now| now.accepts_differences);
        let last_comparison = Some(comparison.clone());
        match build.purpose {
            Purpose::Verify => {
                let next = ViewState { building: None, last_comparison, ..now };
                self.views.write(next.dropping(build.generation)).await.map(|_| false)
            }
            Purpose::Replace if comparison.differing == 0 || accepts => {
                let (retired, serving) = (Some(now.serving), build.generation);
                let next = ViewState { serving, retired, building: None, last_comparison, ..now };
                self.views.write(next).await.map(|_| true)
            }
            Purpose::Replace if build.comparison.is_none() => {
                let building = now.building.clone().map(|now| Build { comparison: Some(comparison), ..now });
                self.views.write(ViewState { building, last_comparison, ..now }).await.map(|_| false)
            }
            // It waits for an operator.
            Purpose::Replace => Ok(false),
        }
    }

    /// Whether the other table has come, with every partition, to where the serving one was when this was first asked: from
    /// there on both follow the log, and differ by moments.
    async fn has_reached(&mut self, serving: Table, other: Table) -> Result<bool, Error> {
        if !self.goals.contains_key(&other) {
            self.goals.insert(other, self.shared.store.checkpoints(serving).await?);
        }
        let reached = self.shared.store.checkpoints(other).await?;
        let next =
            |source: &Source| reached.iter().find(|c| c.source == *source).map_or(0, |c| c.next_offset);
        let goals = self.goals.get(&other).into_iter().flatten();
        Ok(goals.into_iter().all(|goal| next(&goal.source) >= goal.next_offset))
    }

    /// The comparison, once it has come to its end; it runs beside everything else.
    async fn compare(
        &mut self,
        serving: Table,
        other: Table,
        stop: &Stop,
    ) -> Result<Option<Comparison>, Error> {
        match &mut self.comparing {
            Some((of, comparison)) if *of == other => {
                if !comparison.is_finished() {
                    return Ok(None);
                }
                // A panic has been told.
                let found = comparison.await.unwrap_or(Ok(None));
                self.comparing = None;
                found
            }
            Some(_) => Ok(None),
            none => {
                let (shared, stop) = (self.shared.clone(), stop.clone());
                let comparison = tokio::task::spawn_blocking(move || {
                    let Shared { log, store, catalogue, .. } = &shared;
                    Comparing { log: &**log, store: &**store, catalogue, serving, other }.run(&stop)
                });
                *none = Some((other, comparison));
                Ok(None)
            }
        }
    }
}

async fn turn(mut shared: Shared, stop: Stop) -> Result<(), Error> {
    let interval = shared.config.poll_interval_ms.duration();
    loop {
        let states = shared.views.borrow_and_update().clone();
        let is_open = states.iter().any(|(table, _)| shared.progress.serving(table) != states.serving(table));
        if is_open && let Err(error) = views::follow_serving(&states, &*shared.store, &shared.progress).await
        {
            tracing::warn!(reason = %Chain(&error), "readers cannot turn to another generation yet; it is tried further");
        }
        tokio::select! {
            () = stop.requested() => return Ok(()),
            _ = shared.views.changed(), if !is_open => {}
            () = tokio::time::sleep(interval), if is_open => {}
        }
    }
}

fn into_error(error: views::ViewError) -> Error {
    match error {
        views::ViewError::Failed(error) => error,
        // The name comes from the catalogue.
        _ => Error::Config { reason: "a projection that is not in the catalogue" },
    }
}
