//! `millrace verify`: reads the whole log and says whether its promises hold.

mod checker;
mod money;
mod orders;
mod report;
mod stock;
mod streams;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use event_log::{Cursor, Log, Record, Topics};
use futures::{StreamExt, TryStreamExt};

pub use self::checker::Checker;
pub use self::report::Report;
use crate::admin::{LogLine, LogSummary};
use crate::args::{DEFAULT_URL, LogArgs};
use crate::config::{Config, Flags};
use crate::report::{FAILED, hinted};

/// Records taken from the log at once.
const READ_RECORDS: usize = 10_000;
/// How long one read may wait.
const READ_WAIT: Duration = Duration::from_millis(200);
/// How long the log may give nothing before the check is given up.
const STALL: Duration = Duration::from_secs(60);
/// How often a process that is busy with such answers is asked, and how long between two times.
const BUSY_ATTEMPTS_MAX: u32 = 100;
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// Read the whole log and check what it promises
///
/// Versions without gaps, terms that never go back, one outcome per command id, reservations equal to the counters, money
/// that adds up, one end per order. Asks the running process at --url (from this machine only), or reads the log itself:
/// Kafka with --kafka, an embedded one that no process has open with --data-dir.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 clean, 1 a violation was found, 2 it could not be checked.")]
pub(crate) struct VerifyArgs {
    /// A running process
    #[arg(long, value_name = "URL", env = "MILLRACE_URL", default_value = DEFAULT_URL)]
    url: String,
    /// Check the embedded log of a stopped process in this folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "kafka")]
    data_dir: Option<std::path::PathBuf>,
    #[command(flatten)]
    log: LogArgs,
    /// The platform has come to rest: what is still under way (orders not ended, stock or money not settled) counts as a
    /// violation
    #[arg(long)]
    settled: bool,
    /// Hold the views of the process at --url against the fold of its log instead, row by row at the same position
    #[arg(long, conflicts_with_all = ["data_dir", "kafka", "settled"])]
    views: bool,
    /// With --views: only this one; may be repeated
    #[arg(long, value_name = "PROJECTION", requires = "views")]
    only: Vec<String>,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command; on a blocking thread inside a runtime.
pub(crate) fn run(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    if args.views {
        let views = crate::commands::rebuild::verify_views(&args.url, &args.only, args.json);
        return tokio::runtime::Handle::current().block_on(views);
    }
    let flags = Flags { data_dir: args.data_dir.clone(), ..args.log.flags() };
    let report = if args.data_dir.is_some() || flags.kafka.is_some() {
        let config = Config::load(&flags, std::env::vars())?;
        if !config.is_kafka() && !config.log_folder().is_dir() {
            let folder = config.log_folder();
            return Err(hinted(
                format!("there is no log in {}", folder.display()),
                "name the folder given to `millrace up`",
            ));
        }
        let log = crate::app::open_existing_log(&config)?;
        let report = verify_log(&*log, args.settled);
        log.close();
        report?
    } else {
        tokio::runtime::Handle::current().block_on(verify_url(&args.url, args.settled))?
    };
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// Checks a log up to its stable end.
pub fn verify_log(log: &dyn Log, settled: bool) -> anyhow::Result<Report> {
    let topics = log.topics();
    let mut checker = Checker::new(topics.clone(), log.partitions());
    let from: Vec<_> = checked_topics(topics)
        .flat_map(|topic| (0..log.partitions()).map(move |partition| Cursor::start(topic.clone(), partition)))
        .collect();
    let mut reader = log.open_reader(&from).context("opening the log")?;
    let mut last_progress = Instant::now();
    while !reader.caught_up() {
        let records = reader.read(READ_RECORDS, READ_WAIT).context("reading the log")?;
        if !records.is_empty() {
            last_progress = Instant::now();
        }
        anyhow::ensure!(last_progress.elapsed() < STALL, "the log gave nothing for {} s", STALL.as_secs());
        records.iter().for_each(|record| checker.record(record));
    }
    Ok(checker.finish(settled))
}

/// What is checked: all events, then the outcomes.
fn checked_topics(topics: &Topics) -> impl Iterator<Item = &std::sync::Arc<str>> {
    topics.all_events().iter().chain([topics.outcomes()])
}

/// Checks the log of a running process.
async fn verify_url(url: &str, settled: bool) -> anyhow::Result<Report> {
    let client =
        reqwest::Client::builder().connect_timeout(Duration::from_secs(5)).read_timeout(STALL).build()?;
    let get = async |path: &str| -> anyhow::Result<reqwest::Response> {
        let unreachable = || {
            hinted(
                format!("nothing that can be verified answers at {url}"),
                "start it with `millrace up`, name it with --url, or give --data-dir or --kafka",
            )
        };
        let mut attempts = 0;
        let response = loop {
            let response = client.get(format!("{}{path}", url.trim_end_matches('/'))).send().await;
            let response = response.map_err(|error| anyhow::Error::from(error).context(unreachable()))?;
            attempts += 1;
            // Few such answers run at a time, and an ended one frees its place a moment later.
            if response.status() != reqwest::StatusCode::TOO_MANY_REQUESTS || attempts >= BUSY_ATTEMPTS_MAX {
                break response;
            }
            tokio::time::sleep(BUSY_PAUSE).await;
        };
        response.error_for_status().map_err(|error| anyhow::Error::from(error).context(unreachable()))
    };
    let summary: LogSummary =
        get("/admin/v1/log").await?.json().await.context("reading the log's summary")?;
    let topics = Topics::new(&summary.namespace);
    let mut checker = Checker::new(topics.clone(), summary.partitions);
    for topic in checked_topics(&topics) {
        for partition in 0..summary.partitions {
            let path = format!("/admin/v1/log/{topic}/{partition}");
            let body = get(&path).await?.bytes_stream().map_err(std::io::Error::other);
            read_lines(body, &mut checker).await.with_context(|| format!("reading {topic}/{partition}"))?;
        }
    }
    Ok(checker.finish(settled))
}

/// Feeds the lines of one partition to the checker; an answer without its end line was cut off.
async fn read_lines(
    body: impl futures::Stream<Item = std::io::Result<bytes::Bytes>>,
    checker: &mut Checker,
) -> anyhow::Result<()> {
    let mut body = std::pin::pin!(body);
    let mut rest = Vec::new();
    while let Some(chunk) = body.next().await {
        rest.extend_from_slice(&chunk?);
        let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else { continue };
        let tail = rest.split_off(end + 1);
        for line in rest.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line)? {
                LogLine::Record(record) => checker.record(&Record::try_from(record)?),
                LogLine::End(_) => return Ok(()),
                LogLine::Failed(reason) => anyhow::bail!("the process could not read its log: {reason}"),
            }
        }
        rest = tail;
    }
    anyhow::bail!("the answer was cut off")
}
