//! `millrace rebuild`, and the same for `millrace verify --views`: builds views anew, follows that, and tells what differs.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use projections::{Comparison, ViewState};

use crate::admin::ProjectionReport;
use crate::api_client::ApiClient;
use crate::args::RebuildArgs;
use crate::report::{FAILED, hinted};
use crate::stdout;

const POLL: Duration = Duration::from_millis(250);
const TOLD_EVERY: Duration = Duration::from_secs(2);
/// A build that does not move for so long is given up on; it goes on without us.
const STALL: Duration = Duration::from_secs(120);
/// Differing keys that are printed.
const KEYS_SHOWN: usize = 20;

/// Builds a view anew, or decides about one that was built.
pub(crate) async fn run(args: RebuildArgs) -> anyhow::Result<ExitCode> {
    let client = ApiClient::new(&args.url)?;
    let path = |what: &'static str| client.at(["admin", "v1", "projections", &*args.projection, what]);
    if args.drop {
        let state: ViewState = client.post(path("drop")).await?;
        stdout::line(format!("dropped; generation {} of {} serves", state.serving, state.projection))?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.accept {
        let _: ViewState = client.post(path("accept")).await?;
    } else if report(&client, &args.projection).await?.state.building.is_none() {
        let mut url = path("build");
        url.query_pairs_mut().append_pair("purpose", "replace");
        let _: ViewState = client.post(url).await?;
    }
    let done = follow(&client, &args.projection).await?;
    let Some(found) = &done.state.last_comparison else { return Ok(ExitCode::from(FAILED)) };
    stdout::line(text(&done.state.projection, found))?;
    if done.state.building.is_some() {
        stdout::line(format!(
            "generation {} still serves: `millrace rebuild {name} --accept` lets {} serve, `--drop` drops it",
            found.serving,
            found.other,
            name = args.projection
        ))?;
        return Ok(ExitCode::from(FAILED));
    }
    stdout::line(format!(
        "generation {} serves; {} is kept up to date until `millrace rebuild {} --drop`",
        done.state.serving, found.serving, args.projection
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Builds every view of a process anew beside the one that serves, compares them, and drops what was built.
pub(crate) async fn verify_views(url: &str, only: &[String], json: bool) -> anyhow::Result<ExitCode> {
    let client = ApiClient::new(url)?;
    let all: Vec<ProjectionReport> = client.json(client.at(["admin", "v1", "projections"])).await?;
    let named = |report: &ProjectionReport| {
        let projection = &report.state.projection;
        only.is_empty()
            || only.iter().any(|name| projection == name || projection.starts_with(&format!("{name}_v")))
    };
    let wanted: Vec<_> =
        all.iter().filter(|report| named(report)).map(|r| r.state.projection.clone()).collect();
    if wanted.is_empty() {
        return Err(hinted("there is no such view", "`millrace projections` lists them"));
    }
    for projection in &wanted {
        let mut url = client.at(["admin", "v1", "projections", &**projection, "build"]);
        url.query_pairs_mut().append_pair("purpose", "verify");
        let _: ViewState = client.post(url).await?;
    }
    let mut findings = Vec::new();
    for projection in wanted {
        let done = follow(&client, &projection).await?;
        let found = done.state.last_comparison.context("the comparison is missing")?;
        if !json {
            stdout::line(text(&projection, &found))?;
        }
        findings.push((projection, found));
    }
    if json {
        let map: serde_json::Map<_, _> = findings
            .iter()
            .map(|(name, found)| Ok((name.clone(), serde_json::to_value(found)?)))
            .collect::<serde_json::Result<_>>()?;
        stdout::line(serde_json::to_string(&map)?)?;
    }
    let differs = findings.iter().any(|(_, found)| found.differing > 0);
    Ok(ExitCode::from(if differs { FAILED } else { 0 }))
}

async fn report(client: &ApiClient, projection: &str) -> anyhow::Result<ProjectionReport> {
    client.json(client.at(["admin", "v1", "projections", projection])).await
}

/// Waits until what is built serves, is dropped, or waits for a decision; tells how far it is.
async fn follow(client: &ApiClient, projection: &str) -> anyhow::Result<ProjectionReport> {
    let began = Instant::now();
    let (mut told, mut moved, mut last) = (Instant::now(), Instant::now(), 0);
    loop {
        let report = report(client, projection).await?;
        let Some(build) = &report.state.building else { return Ok(report) };
        if build.comparison.is_some() && !build.accepts_differences {
            return Ok(report);
        }
        if let Some(reason) = report.build_failures.first() {
            return Err(hinted(
                format!("generation {} of {projection} cannot be built: {reason}", build.generation),
                "nothing has changed for readers; settle the event (`millrace dead-letters list`) and it goes on by itself, or `--drop`",
            ));
        }
        let built = report.built_events.unwrap_or(0);
        if built != last {
            (last, moved) = (built, Instant::now());
        }
        // While it is compared it does not move at all.
        anyhow::ensure!(
            moved.elapsed() < STALL || built >= report.events,
            "the build of {projection} has not moved for {} s; it goes on by itself when it can, `millrace projections` shows it",
            STALL.as_secs()
        );
        if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            eprintln!("{}", progress_line(projection, built, report.events, began.elapsed()));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn progress_line(projection: &str, built: u64, events: u64, elapsed: Duration) -> String {
    let rate = built as f64 / elapsed.as_secs_f64().max(0.001);
    let left = events.saturating_sub(built) as f64 / rate.max(1.0);
    match left {
        left if left >= 1.0 => {
            format!("{projection}: {built} of {events} events, {rate:.0}/s, {left:.0} s left")
        }
        _ => format!("{projection}: {built} of {events} events; comparing"),
    }
}

fn text(projection: &str, found: &Comparison) -> String {
    let mut lines = vec![match found.differing {
        0 => format!("{projection}: {} rows, all equal to the fold of the log", found.rows),
        differing => {
            format!("{projection}: {differing} of {} rows differ from the fold of the log", found.rows)
        }
    }];
    for row in found.keys.iter().take(KEYS_SHOWN) {
        let at = |position: &Option<schemas::Position>| {
            position.as_ref().map_or("no row".to_owned(), |position| position.to_string())
        };
        let sort_key = if row.sort_key.is_empty() { String::new() } else { format!("[{}]", row.sort_key) };
        lines.push(format!(
            "  [{}]{sort_key}: {} serves, {} built; {}",
            row.partition_key,
            at(&row.serving),
            at(&row.other),
            row.members.join(" ")
        ));
    }
    if found.differing > KEYS_SHOWN as u64 {
        lines
            .push(format!("  … {} more; --json has the first thousand", found.differing - KEYS_SHOWN as u64));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_has_a_rate_and_an_end() {
        let line = progress_line("order_v1", 500, 1_500, Duration::from_secs(1));
        assert_eq!(line, "order_v1: 500 of 1500 events, 500/s, 2 s left");
        assert!(progress_line("order_v1", 1_500, 1_500, Duration::from_secs(1)).ends_with("comparing"));
    }
}
