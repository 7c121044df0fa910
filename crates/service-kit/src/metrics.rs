//! Numbers for Prometheus: one recorder a process, names as constants that carry their unit and meaning.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use metrics::{Counter, Gauge, Histogram, Label, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::error::Error;
use crate::tasks::{OnError, Tasks};

/// Upper bounds for `…_seconds`: from one fsync to the longest wait that a caller is allowed.
const SECONDS_BUCKETS: [f64; 16] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Upper bounds for `…_bytes`: 256 bytes to 16 MiB.
const BYTES_BUCKETS: [f64; 9] =
    [256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0];
/// Upper bounds for everything that is counted, such as records a batch.
const COUNT_BUCKETS: [f64; 12] =
    [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 4_096.0];

/// How often histograms are folded while nobody scrapes; without it they would keep every sample.
const UPKEEP: Duration = Duration::from_secs(5);

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
static INSTALLING: Mutex<()> = Mutex::new(());

/// The process's recorder; a cheap clone. Metrics of several apps in one process end up in the same one.
#[derive(Clone)]
pub struct Metrics {
    recorder: PrometheusHandle,
}

impl Metrics {
    /// Installs the recorder, or finds the one that an earlier call installed.
    ///
    /// # Errors
    /// [`Error::MetricsTaken`] if something else has installed a recorder.
    pub fn install() -> Result<Self, Error> {
        let _one_at_a_time = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(recorder) = RECORDER.get() {
            return Ok(Self { recorder: recorder.clone() });
        }
        let bounds = "bucket lists are not empty";
        let installed = PrometheusBuilder::new()
            .set_buckets(&COUNT_BUCKETS)
            .expect(bounds)
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)
            .expect(bounds)
            .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES_BUCKETS)
            .expect(bounds)
            .install_recorder()
            .map_err(|_| Error::MetricsTaken)?;
        Ok(Self { recorder: RECORDER.get_or_init(|| installed).clone() })
    }

    /// All numbers in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.recorder.render()
    }

    /// The route `GET /metrics`.
    pub fn router(&self) -> Router {
        let metrics = self.clone();
        Router::new().route(
            "/metrics",
            get(async move || {
                ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
            }),
        )
    }

    /// Keeps the memory of the histograms bounded while nobody scrapes.
    pub fn spawn_upkeep(&self, tasks: &Tasks) {
        let (recorder, stop) = (self.recorder.clone(), tasks.stop());
        tasks.spawn("metrics-upkeep", OnError::Log, async move {
            while tokio::time::timeout(UPKEEP, stop.requested()).await.is_err() {
                recorder.run_upkeep();
            }
            Ok::<_, Error>(())
        });
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One metric as a constant: `const COMMITS: Metric = Metric::counter("millrace_commits_total", Unit::Count, "…");`.
///
/// Names are `millrace_<what>_<unit>`; counters end in `_total`. A gauge or histogram of seconds ends in `_seconds`, one of
/// bytes in `_bytes`: their buckets follow from it.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    name: &'static str,
    kind: Kind,
    unit: Unit,
    description: &'static str,
}

impl Metric {
    /// Something that only grows.
    #[must_use]
    pub const fn counter(name: &'static str, unit: Unit, description: &'static str) -> Self {
        Self { name, kind: Kind::Counter, unit, description }
    }

    /// Something that has a value now.
    #[must_use]
    pub const fn gauge(name: &'static str, unit: Unit, description: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, unit, description }
    }

    /// Something whose distribution matters.
    #[must_use]
    pub const fn histogram(name: &'static str, unit: Unit, description: &'static str) -> Self {
        Self { name, kind: Kind::Histogram, unit, description }
    }

    /// The name under which it is scraped.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Tells the recorder unit and meaning; call it once after [`Metrics::install`].
    pub fn describe(&self) {
        match self.kind {
            Kind::Counter => metrics::describe_counter!(self.name, self.unit, self.description),
            Kind::Gauge => metrics::describe_gauge!(self.name, self.unit, self.description),
            Kind::Histogram => metrics::describe_histogram!(self.name, self.unit, self.description),
        }
    }

    /// The counter for these labels. Keep the handle where it is hot: looking it up hashes name and labels.
    pub fn as_counter(&self, labels: &[(&'static str, &str)]) -> Counter {
        debug_assert_eq!(self.kind, Kind::Counter, "{}", self.name);
        metrics::counter!(self.name, owned(labels))
    }

    /// The gauge for these labels; see [`Metric::as_counter`].
    pub fn as_gauge(&self, labels: &[(&'static str, &str)]) -> Gauge {
        debug_assert_eq!(self.kind, Kind::Gauge, "{}", self.name);
        metrics::gauge!(self.name, owned(labels))
    }

    /// The histogram for these labels; see [`Metric::as_counter`].
    pub fn as_histogram(&self, labels: &[(&'static str, &str)]) -> Histogram {
        debug_assert_eq!(self.kind, Kind::Histogram, "{}", self.name);
        metrics::histogram!(self.name, owned(labels))
    }
}

/// Describes a crate's metrics to the recorder.
pub fn describe_metrics(metrics: &[Metric]) {
    metrics.iter().for_each(Metric::describe);
}

fn owned(labels: &[(&'static str, &str)]) -> Vec<Label> {
    labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURNS: Metric = Metric::counter("kit_turns_total", Unit::Count, "turns of the loop");
    const COMMIT: Metric = Metric::histogram("kit_commit_seconds", Unit::Seconds, "time of one commit");

    #[test]
    fn several_apps_in_one_process_share_the_recorder() {
        let (first, second) = (Metrics::install().unwrap(), Metrics::install().unwrap());
        describe_metrics(&[TURNS, COMMIT]);
        TURNS.as_counter(&[("shard", "0")]).increment(3);
        COMMIT.as_histogram(&[]).record(0.002);
        for text in [first.render(), second.render()] {
            assert!(text.contains("# HELP kit_turns_total turns of the loop"), "{text}");
            assert!(text.contains("kit_turns_total{shard=\"0\"} 3"), "{text}");
            assert!(text.contains("kit_commit_seconds_bucket{le=\"0.0025\"} 1"), "{text}");
            assert!(text.contains("kit_commit_seconds_bucket{le=\"0.001\"} 0"), "{text}");
        }
    }
}
