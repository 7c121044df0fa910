//! Latencies and rates of runs, their median and spread.

use std::time::Duration;

/// One run.
pub(crate) struct Run {
    p50_ms: f64,
    p99_ms: f64,
    records_per_s: f64,
}

impl Run {
    pub(crate) fn new(mut latencies: Vec<Duration>, records: usize, elapsed: Duration) -> Self {
        latencies.sort_unstable();
        let at = |share: f64| {
            let index = ((latencies.len() as f64 * share) as usize).min(latencies.len() - 1);
            latencies[index].as_secs_f64() * 1_000.0
        };
        let total = (latencies.len() * records) as f64;
        Self { p50_ms: at(0.5), p99_ms: at(0.99), records_per_s: total / elapsed.as_secs_f64() }
    }
}

/// The runs of one side at one batch size.
pub(crate) struct Figures {
    side: &'static str,
    size: usize,
    runs: Vec<Run>,
}

impl Figures {
    pub(crate) fn new(side: &'static str, size: usize) -> Self {
        Self { side, size, runs: Vec::new() }
    }

    pub(crate) fn push(&mut self, run: Run) {
        self.runs.push(run);
    }

    /// Every run, then the median with the lowest and the highest.
    pub(crate) fn print(&self) {
        for (i, run) in self.runs.iter().enumerate() {
            println!(
                "  {:>5} per batch, {:<12} run {}: p50 {:>7.2} ms  p99 {:>7.2} ms  {:>9.0} records/s",
                self.size,
                self.side,
                i + 1,
                run.p50_ms,
                run.p99_ms,
                run.records_per_s
            );
        }
        let [p50, p99, rate] =
            [self.spread(|r| r.p50_ms), self.spread(|r| r.p99_ms), self.spread(|r| r.records_per_s)];
        println!(
            "  {:>5} per batch, {:<12} median: p50 {:.2} ({:.2}–{:.2}) ms  p99 {:.2} ({:.2}–{:.2}) ms  {:.0} ({:.0}–{:.0}) records/s",
            self.size, self.side, p50.1, p50.0, p50.2, p99.1, p99.0, p99.2, rate.1, rate.0, rate.2
        );
    }

    pub(crate) fn p50_ms(&self) -> f64 {
        self.spread(|r| r.p50_ms).1
    }

    pub(crate) fn print_ratio(&self, ceiling: &Self) {
        let rate = |figures: &Self| figures.spread(|r| r.records_per_s).1;
        println!(
            "  {:>5} per batch: {} reaches {:.0} % of {}'s records/s, at {:.2} times its p50",
            self.size,
            self.side,
            100.0 * rate(self) / rate(ceiling),
            ceiling.side,
            self.p50_ms() / ceiling.p50_ms()
        );
    }

    /// Lowest, median, highest.
    fn spread(&self, of: impl Fn(&Run) -> f64) -> (f64, f64, f64) {
        let mut values: Vec<f64> = self.runs.iter().map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        match values.as_slice() {
            [] => (f64::NAN, f64::NAN, f64::NAN),
            [first, .., last] => (*first, values[values.len() / 2], *last),
            [only] => (*only, *only, *only),
        }
    }
}
