//! `millrace import`: replays a data set as commands over HTTP, and reports what the shop then holds.
//!
//! Rows become a [`plan`](plan::Plan), the plan becomes [`steps`](step::Step) with ids that a repeated import gives again,
//! and the steps are sent in three phases with a barrier between them: products, customers and opening stock; orders
//! and stock corrections, until every order is delivered; returns and credits. The closing figures are the query API's.

mod client;
mod csv;
mod deliveries;
mod figures;
mod plan;
mod progress;
mod sending;
mod settling;
mod step;
mod summary;
mod tally;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use futures::TryFutureExt;

use self::client::{Client, Failure};
use self::deliveries::{Cancelled, Deliveries};
use self::plan::Plan;
use self::progress::Phase;
use self::sending::Sending;
use self::step::Step;
use self::tally::Tally;
use crate::args::DEFAULT_URL;
use crate::report::{FAILED, RanAndFailed, hinted, hinted_because};

pub(crate) use self::summary::Summary;

/// How long a shop that is starting is waited for.
const READY_WAIT: Duration = Duration::from_secs(30);
const READY_PAUSE: Duration = Duration::from_millis(100);
/// Orders placed and not done at a time, where nothing else is said.
const IN_FLIGHT_MAX: usize = 1_000;
const STALL_LIMIT_S: u64 = 120;

/// Replay a data set as commands over HTTP
///
/// Every command has an id that comes from the data, so an import that broke off is resumed, and a finished one repeated,
/// by the same command: what is known already changes nothing.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    source: Source,
}

#[derive(Debug, Subcommand)]
enum Source {
    OnlineRetail(OnlineRetailArgs),
}

/// The UCI "Online Retail" data set: ten months of a UK gift shop
///
/// Places its orders, takes its returns and credits its accounts, each at the time and price in the file. Refunds,
/// deliveries and stock follow from that inside the shop. Exit codes: 0 all of the file is in the shop, 1 some of it is
/// not (it says what), 2 it could not be tried or broke off.
#[derive(Debug, Args)]
struct OnlineRetailArgs {
    /// The CSV with the columns InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country; plain
    /// or gzipped
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The shop
    #[arg(long, value_name = "URL", env = "MILLRACE_URL", default_value = DEFAULT_URL)]
    url: String,
    /// Print one closing JSON object on stdout instead of the report
    #[arg(long)]
    json: bool,
    /// Most orders that are placed and not delivered yet
    #[arg(long, value_name = "N", default_value_t = IN_FLIGHT_MAX, value_parser = at_least_one)]
    in_flight_max: usize,
    /// Only the first N rows of the file
    #[arg(long, value_name = "N")]
    first_rows: Option<usize>,
    /// Give up when nothing moves in the shop for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = STALL_LIMIT_S)]
    stall_limit: u64,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "a number from 1 is needed".to_owned())
}

/// Limits of one import.
#[derive(Clone, Copy, Debug)]
struct Limits {
    in_flight_max: usize,
    stall_limit: Duration,
}

/// Runs `millrace import`.
pub(crate) async fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    let Source::OnlineRetail(args) = args.source;
    let path = args.file.display();
    let file = File::open(&args.file).map_err(|error| {
        hinted_because(
            format!("cannot open {path}"),
            "the data set is at the UCI Machine Learning Repository, DOI 10.24432/C5BW33; `millrace up --demo` brings two \
             weeks of it along",
            error,
        )
    })?;
    let plan =
        planned(file, args.first_rows).map_err(|error| error.context(format!("cannot import {path}")))?;
    let limits =
        Limits { in_flight_max: args.in_flight_max, stall_limit: Duration::from_secs(args.stall_limit) };
    let summary = replay(&args.url, &plan, limits).await?;
    if args.json {
        println!("{}", summary.json());
    } else {
        print!("{summary}");
    }
    for remark in summary.remarks() {
        eprintln!("{remark}");
    }
    Ok(if summary.is_complete() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// Replays a bundled piece of the data set, plain or gzipped, into the shop at `url`. Progress goes to stderr; an error
/// when the shop cannot be reached or stops getting on.
pub(crate) async fn replay_sample(url: &str, bytes: &'static [u8]) -> anyhow::Result<Summary> {
    let limits = Limits { in_flight_max: IN_FLIGHT_MAX, stall_limit: Duration::from_secs(STALL_LIMIT_S) };
    replay(url, &planned(bytes, None)?, limits).await
}

fn planned(source: impl Read, rows_max: Option<usize>) -> anyhow::Result<Plan> {
    Ok(plan::plan(csv::read(source, rows_max)?)?)
}

async fn replay(url: &str, plan: &Plan, limits: Limits) -> anyhow::Result<Summary> {
    let started = Instant::now();
    let client = Client::new(url)?;
    wait_until_ready(&client, url).await?;
    let tally = Tally::default();
    send_all("products, customers, stock", &client, &tally, plan.opening_steps()).await?;
    must_be_open(&tally)?;
    let cancelled = trade(&client, &tally, plan, limits).await?;
    send_all("returns, credits", &client, &tally, plan.closing_steps()).await?;
    let counts = tally.counts();
    let expected = plan.figures();
    let is_complete = counts.refused_commands == 0 && cancelled.count == 0;
    let totals = settling::settled(&client, &expected, &counts.positions, is_complete, limits.stall_limit)
        .await
        .map_err(unreadable)?;
    Ok(Summary { figures: totals.figures, expected, counts, cancelled, elapsed: started.elapsed() })
}

async fn wait_until_ready(client: &Client, url: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    while !client.is_ready().await.map_err(|failure| {
        hinted(
            format!("no shop answers at {url}: {failure}"),
            "start one with `millrace up`, or say where it runs with --url (or MILLRACE_URL)",
        )
    })? {
        if started.elapsed() >= READY_WAIT {
            return Err(hinted(
                format!("the shop at {url} is not ready"),
                "`millrace status` or GET /health/ready tells what it waits for",
            ));
        }
        tokio::time::sleep(READY_PAUSE).await;
    }
    Ok(())
}

/// Orders whose stock was not received would be cancelled: without all of the opening nothing else is sent.
fn must_be_open(tally: &Tally) -> anyhow::Result<()> {
    let counts = tally.counts();
    if counts.refused_commands == 0 {
        return Ok(());
    }
    let error = hinted(
        counts.refusal_lines().join("\n"),
        "orders were not sent. Is another file, or another --first-rows of this one, in this shop? Then import this \
         one into a shop of its own (`millrace up --data-dir DIR`)",
    );
    Err(RanAndFailed(error).into())
}

async fn send_all(
    name: &'static str,
    client: &Client,
    tally: &Tally,
    steps: Vec<Step<'_>>,
) -> anyhow::Result<()> {
    let phase = Phase::start(name, steps.len());
    Sending { client, tally, phase: &phase, deliveries: None }.send(steps).await?;
    phase.end();
    Ok(())
}

/// Places the orders and corrects the stock; returns when every order is delivered or cancelled.
async fn trade(client: &Client, tally: &Tally, plan: &Plan, limits: Limits) -> anyhow::Result<Cancelled> {
    let steps = plan.trading_steps();
    let phase = Phase::start("orders to their delivery", steps.len());
    let deliveries = Deliveries::new(client, &phase, limits.in_flight_max, limits.stall_limit);
    let sending = Sending { client, tally, phase: &phase, deliveries: Some(&deliveries) };
    let placing = sending.send(steps).inspect_ok(|()| deliveries.all_placed());
    futures::try_join!(placing, deliveries.watch())?;
    let cancelled = deliveries.cancelled();
    phase.end();
    Ok(cancelled)
}

fn unreadable(failure: Failure) -> anyhow::Error {
    hinted(
        format!("everything was sent, but the query API does not tell the totals: {failure}"),
        "`millrace status` shows whether the views follow the log; the same command again reads them anew",
    )
}
