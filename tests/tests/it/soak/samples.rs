//! What processes hold, second by second.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use testkit::TestApp;

/// A shorter run than this says nothing about growth.
const TELLING: Duration = Duration::from_secs(300);

/// Samples of a run, by process.
#[derive(Default)]
pub(crate) struct Samples(BTreeMap<String, Vec<Sample>>);

struct Sample {
    at: Duration,
    resident_mib: u64,
    files: u64,
    /// Events that the views of the process lack; 0 without views.
    lag_events: u64,
}

/// The middle values within a part of a run. Not the highest: those tell how long a process happened to live.
#[derive(Clone, Copy, Debug, Default)]
struct Middle {
    resident_mib: u64,
    files: u64,
    lag_events: u64,
}

impl Samples {
    /// Looks at each process that runs.
    pub(crate) async fn take(&mut self, at: Duration, processes: impl Iterator<Item = &mut TestApp>) {
        for (number, process) in processes.enumerate() {
            let Some(pid) = process.pid() else { continue };
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let resident_kib = resident.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
            let Some(resident_kib) = resident_kib else { continue };
            let files =
                std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64);
            let status = process.get("/admin/v1/status").await.body;
            let lags = status["lag"].as_array().into_iter().flatten();
            let lag_events = lags.filter_map(|lag| lag["lag_events"].as_u64()).sum();
            let sample = Sample { at, resident_mib: resident_kib / 1024, files, lag_events };
            self.0.entry(format!("process {number}")).or_default().push(sample);
        }
    }

    /// The second and the last third of the run: in the first one caches fill.
    fn thirds(samples: &[Sample]) -> [Middle; 2] {
        let end = samples.last().map_or(Duration::ZERO, |sample| sample.at);
        [1, 2].map(|third| {
            let is_within =
                |sample: &&Sample| sample.at >= end * third / 3 && sample.at <= end * (third + 1) / 3;
            let within: Vec<&Sample> = samples.iter().filter(is_within).collect();
            let middle = |value: fn(&Sample) -> u64| {
                let mut values: Vec<u64> = within.iter().map(|sample| value(sample)).collect();
                values.sort_unstable();
                values.get(values.len() / 2).copied().unwrap_or_default()
            };
            Middle {
                resident_mib: middle(|sample| sample.resident_mib),
                files: middle(|sample| sample.files),
                lag_events: middle(|sample| sample.lag_events),
            }
        })
    }

    /// Panics when the last third holds notably more than the second one.
    pub(crate) fn are_flat(&self, duration: Duration) {
        if duration < TELLING {
            println!("too short a run to tell whether something grows");
            return;
        }
        for (process, samples) in &self.0 {
            let [before, after] = Self::thirds(samples);
            let told = format!("{process}: {before:?}, then {after:?}");
            assert!(after.resident_mib <= before.resident_mib * 5 / 4 + 32, "memory grows: {told}");
            assert!(after.files <= before.files * 11 / 10 + 16, "open files grow: {told}");
            assert!(after.lag_events <= before.lag_events * 2 + 500, "the views fall behind: {told}");
        }
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (process, samples) in &self.0 {
            let [before, after] = Self::thirds(samples);
            let peak_mib = samples.iter().map(|sample| sample.resident_mib).max().unwrap_or_default();
            writeln!(
                f,
                "{process}: {} samples; middle of the second and of the last third: resident {} and {} MiB (peak \
                 {peak_mib}), files {} and {}, lag {} and {} events",
                samples.len(),
                before.resident_mib,
                after.resident_mib,
                before.files,
                after.files,
                before.lag_events,
                after.lag_events,
            )?;
        }
        Ok(())
    }
}
