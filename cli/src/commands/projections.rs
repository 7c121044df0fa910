//! `millrace projections`.

use std::process::ExitCode;

use crate::admin::ProjectionReport;
use crate::api_client::ApiClient;
use crate::args::ProjectionsArgs;
use crate::report::FAILED;
use crate::stdout;

/// Lists the projections; fails when one of them waits for somebody.
pub(crate) async fn run(args: ProjectionsArgs) -> anyhow::Result<ExitCode> {
    let client = ApiClient::new(&args.url)?;
    let all: Vec<ProjectionReport> = client.json(client.at(["admin", "v1", "projections"])).await?;
    if args.json {
        stdout::line(serde_json::to_string_pretty(&all)?)?;
    } else {
        stdout::line(text(&all).trim_end())?;
    }
    let needs_somebody =
        all.iter().any(|report| open_letters(report) > 0 || !report.build_failures.is_empty());
    Ok(ExitCode::from(if needs_somebody { FAILED } else { 0 }))
}

/// Letters that an operator has to settle.
fn open_letters(report: &ProjectionReport) -> u64 {
    report.dead_letters.iter().filter(|(state, _)| *state != "skipped").map(|(_, count)| count).sum()
}

fn text(all: &[ProjectionReport]) -> String {
    let mut lines = vec![format!(
        "{:<26} {:>3} {:>12} {:>10} {:>6}  {}",
        "PROJECTION", "GEN", "EVENTS", "LAG", "LAG S", "STATE"
    )];
    for report in all {
        lines.push(format!(
            "{:<26} {:>3} {:>12} {:>10} {:>6}  {}",
            report.state.projection,
            report.state.serving,
            report.events,
            report.lag_events,
            report.lag_seconds.map_or("-".to_owned(), |seconds| seconds.to_string()),
            state(report)
        ));
    }
    if let Some(rate) = all.iter().find_map(|report| report.events_per_s) {
        lines.push(format!("{rate:.0} events/s applied by this process"));
    }
    lines.join("\n") + "\n"
}

fn state(report: &ProjectionReport) -> String {
    let mut states = Vec::new();
    if open_letters(report) > 0 {
        let count = |(state, count): (&String, &u64)| format!("{count} {state}");
        let counts: Vec<_> = report.dead_letters.iter().map(count).collect();
        states.push(format!("dead letters: {}", counts.join(", ")));
    } else if let Some(skipped) = report.dead_letters.get("skipped") {
        states.push(format!("{skipped} skipped"));
    }
    if let Some(build) = &report.state.building {
        states.push(match (&build.comparison, report.build_failures.first()) {
            (_, Some(reason)) => format!("generation {} cannot be built: {reason}", build.generation),
            (Some(found), None) => format!(
                "generation {} differs in {} of {} rows and waits for a decision",
                build.generation, found.differing, found.rows
            ),
            (None, None) => format!(
                "building generation {}, {:.0} %",
                build.generation,
                100.0 * report.built_events.unwrap_or(0) as f64 / report.events.max(1) as f64
            ),
        });
    }
    states
        .extend(report.state.retired.map(|retired| format!("generation {retired} is retired, not dropped")));
    if states.is_empty() {
        states.push(if report.lag_events == 0 { "up to date" } else { "following" }.to_owned());
    }
    states.join("; ")
}

#[cfg(test)]
mod tests {
    use projections::{Build, Orders, Projection, Purpose, ViewState};

    use super::*;

    fn report() -> ProjectionReport {
        let state = ViewState::first(Orders::TABLE);
        ProjectionReport {
            state,
            events: 200,
            lag_events: 0,
            lag_seconds: Some(0),
            events_per_s: Some(12.4),
            built_events: None,
            build_failures: Vec::new(),
            dead_letters: Default::default(),
        }
    }

    #[test]
    fn what_needs_somebody_is_told() {
        assert_eq!(state(&report()), "up to date");
        let mut parked = report();
        parked.dead_letters = [("parked".to_owned(), 1), ("skipped".to_owned(), 2)].into();
        assert_eq!(state(&parked), "dead letters: 1 parked, 2 skipped");
        assert_eq!(open_letters(&parked), 1);
        let mut building = report();
        let build =
            Build { generation: 2, purpose: Purpose::Replace, accepts_differences: false, comparison: None };
        building.state.building = Some(build);
        building.built_events = Some(50);
        assert_eq!(state(&building), "building generation 2, 25 %");
        building.build_failures = vec!["poison".to_owned()];
        assert_eq!(state(&building), "generation 2 cannot be built: poison");
        assert!(text(&[report()]).contains("12 events/s"));
    }
}
