//! Rows: runs, their median and spread, what they are held against, and how that is printed.

use benches::load::Tally;
use serde::Serialize;

/// One run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) accepted_per_s: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    pub(crate) abandoned: u64,
    pub(crate) refused_share: f64,
    /// p99 from the sending, which leaves out what the client kept waiting.
    pub(crate) service_p99_ms: f64,
    /// How much of one core the load generator took.
    pub(crate) generator_cores: f64,
    pub(crate) first_failure: Option<String>,
}

impl From<&Tally> for Run {
    fn from(tally: &Tally) -> Self {
        Self {
            accepted_per_s: tally.accepted_per_s(),
            p50_ms: tally.latency.quantile_ms(0.5),
            p99_ms: tally.latency.quantile_ms(0.99),
            p999_ms: tally.latency.quantile_ms(0.999),
            max_ms: tally.latency.max_ms(),
            accepted: tally.accepted,
            refused: tally.refused,
            failed: tally.failed,
            abandoned: tally.abandoned,
            refused_share: tally.refused_share(),
            service_p99_ms: tally.service.quantile_ms(0.99),
            generator_cores: tally.generator_cores,
            first_failure: tally.first_failure.clone(),
        }
    }
}

impl Run {
    /// One line.
    pub(crate) fn text(&self) -> String {
        let [p50, p99, p999, max] = [self.p50_ms, self.p99_ms, self.p999_ms, self.max_ms].map(ms);
        let mut text = format!(
            "{:>9.0} accepted/s  p50 {p50:>8}  p99 {p99:>8}  p99.9 {p999:>8}  max {max:>8} ms  generator {:.2} cores",
            self.accepted_per_s, self.generator_cores
        );
        if self.refused + self.abandoned > 0 {
            text += &format!("  refused {}, given up {}", self.refused, self.abandoned);
        }
        if let Some(failure) = &self.first_failure {
            text += &format!("  FAILED {}, the first: {failure}", self.failed);
        }
        text
    }
}

/// Milliseconds; a dash where there is no figure.
fn ms(value: f64) -> String {
    if value.is_nan() { "–".to_owned() } else { format!("{value:.2}") }
}

/// Lowest, median and highest of some figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    /// `None` of nothing. Of an even number the upper of the middle two.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let (low, high) = (*values.first()?, *values.last()?);
        Some(Self { low, median: values[values.len() / 2], high })
    }
}

/// What a figure has to reach.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Goal {
    /// For people.
    pub(crate) text: String,
    pub(crate) met: bool,
}

/// One row of the table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// The figure, for people.
    pub(crate) figure: String,
    /// p50 / p99, for people.
    pub(crate) latency: String,
    /// Median of the ratios to the peer, pair by pair.
    pub(crate) times_peer: Option<f64>,
    /// Median of the shares of the ceiling, pair by pair.
    pub(crate) share_of_ceiling: Option<f64>,
    pub(crate) goal: Option<Goal>,
    pub(crate) runs: Vec<Run>,
}

impl Row {
    /// A row of rates and latencies, without anything beside it.
    pub(crate) fn of_runs(name: impl Into<String>, runs: Vec<Run>) -> Self {
        let spread = |of: fn(&Run) -> f64| Spread::of(runs.iter().map(of));
        let figure = spread(|run| run.accepted_per_s).map_or("–".to_owned(), |rate| {
            format!("{:.0} ({:.0}–{:.0})/s", rate.median, rate.low, rate.high)
        });
        let latency = match (spread(|run| run.p50_ms), spread(|run| run.p99_ms)) {
            (Some(p50), Some(p99)) => {
                format!("{} / {} ({}–{})", ms(p50.median), ms(p99.median), ms(p99.low), ms(p99.high))
            }
            _ => "–".to_owned(),
        };
        Self {
            name: name.into(),
            figure,
            latency,
            times_peer: None,
            share_of_ceiling: None,
            goal: None,
            runs,
        }
    }

    /// A row of one figure.
    pub(crate) fn of_figure(name: impl Into<String>, figure: impl Into<String>, goal: Option<Goal>) -> Self {
        Self { goal, figure: figure.into(), latency: String::new(), ..Self::of_runs(name, Vec::new()) }
    }
}

/// What was measured and on what.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Machine, versions, settings.
    pub(crate) conditions: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

impl Report {
    /// Notes a condition and prints it.
    pub(crate) fn condition(&mut self, text: impl Into<String>) {
        let text = text.into();
        println!("{text}");
        self.conditions.push(text);
    }

    /// The table.
    pub(crate) fn table(&self) -> String {
        let head = [
            "what",
            "median (lowest–highest)",
            "p50 / p99 ms (p99 spread)",
            "× peer",
            "% ceiling",
            "goal",
            "",
        ];
        let mut lines = vec![head.map(str::to_owned)];
        for row in &self.rows {
            let (goal, met) = row.goal.as_ref().map_or((String::new(), ""), |goal| {
                (goal.text.clone(), if goal.met { "reached" } else { "MISSED" })
            });
            lines.push([
                row.name.clone(),
                row.figure.clone(),
                row.latency.clone(),
                row.times_peer.map_or(String::new(), |times| format!("{times:.1}")),
                row.share_of_ceiling.map_or(String::new(), |share| format!("{:.0}", 100.0 * share)),
                goal,
                met.to_owned(),
            ]);
        }
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 7] = std::array::from_fn(width);
        let mut text = String::new();
        for line in &lines {
            let cells: Vec<_> =
                line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            text += cells.join("  ").trim_end();
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_and_the_spread_around_it() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { low: 1.0, median: 2.0, high: 3.0 }));
        assert_eq!(Spread::of([5.0]), Some(Spread { low: 5.0, median: 5.0, high: 5.0 }));
    }

    #[test]
    fn a_missed_goal_is_told() {
        let goal = |met| Some(Goal { text: "≥ 20×".to_owned(), met });
        let rows = vec![Row::of_figure("a", "1", goal(true)), Row::of_figure("b", "2", goal(false))];
        let table = Report { rows, ..Report::default() }.table();
        let lines: Vec<_> = table.lines().collect();
        assert!(lines[1].ends_with("reached") && lines[2].ends_with("MISSED"), "{table}");
    }
}
