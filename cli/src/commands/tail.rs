//! `millrace tail`: the log's records as they come, through a running process or from the log itself.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use event_log::{Record, RecordJson};

use crate::admin::{LogLine, LogSummary, tail_cursors};
use crate::api_client::{ApiClient, Lines};
use crate::app::open_existing_log;
use crate::args::{TailArgs, TailFrom};
use crate::config::Config;
use crate::report::hinted;
use crate::stdout;

/// Records of one read.
const RECORDS_MAX: usize = 1_000;
/// How long one read waits.
const READ_WAIT: Duration = Duration::from_millis(500);

/// Prints records until there are enough of them, or for ever.
pub(crate) async fn run(args: TailArgs) -> anyhow::Result<ExitCode> {
    let mut flags = args.log.flags();
    if let Some(folder) = &args.data_dir {
        flags.data_dir = Some(folder.clone());
        // Whoever names a folder means its log, whatever a configuration file says.
        flags.kafka = Some(String::new());
    }
    let config = Config::load(&flags, std::env::vars())?;
    if args.data_dir.is_some() || config.is_kafka() {
        // Reading a log blocks.
        tokio::task::spawn_blocking(move || from_log(&args, &config)).await??;
    } else {
        from_process(&args).await?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn from_process(args: &TailArgs) -> anyhow::Result<()> {
    let client = ApiClient::new(&args.url)?;
    let mut url = client.at(["admin", "v1", "tail"]);
    url.query_pairs_mut().append_pair("from", from_word(args.from));
    if !args.topic.is_empty() {
        url.query_pairs_mut().append_pair("topics", &args.topic.join(","));
    }
    if let Some(limit) = args.limit {
        url.query_pairs_mut().append_pair("limit", &limit.to_string());
    }
    let mut lines = Lines::of(client.get(url).await?);
    while let Some(line) = lines.next().await.context("the process went away")? {
        match serde_json::from_slice(&line).context("a line of the answer cannot be read")? {
            LogLine::Record(record) => print(&record, args.json)?,
            LogLine::End(_) => return Ok(()),
            LogLine::Failed(why) => anyhow::bail!("the log cannot be read further: {why}"),
        }
    }
    Err(hinted(
        "the answer was cut off",
        "was the process stopped? start again with --from start, or go on from here",
    ))
}

fn from_log(args: &TailArgs, config: &Config) -> anyhow::Result<()> {
    if args.data_dir.is_some() && !config.log_folder().is_dir() {
        return Err(hinted(
            format!("there is no log in {}", config.data_dir.display()),
            "--data-dir names the folder that `millrace up` was started with",
        ));
    }
    let log = open_existing_log(config)?;
    let from = tail_cursors(&LogSummary::of(&*log)?, &args.topic, from_word(args.from))?;
    let mut reader = log.open_reader(&from)?;
    let mut left = args.limit.unwrap_or(u64::MAX);
    // Nobody writes to the log of a stopped process: its end is the end.
    while left > 0 && !(args.data_dir.is_some() && reader.caught_up()) {
        let records_max = RECORDS_MAX.min(usize::try_from(left).unwrap_or(usize::MAX));
        for record in reader.read(records_max, READ_WAIT)? {
            print(&RecordJson::from(&record), args.json)?;
            left -= 1;
        }
    }
    Ok(())
}

fn from_word(from: TailFrom) -> &'static str {
    match from {
        TailFrom::Start => "start",
        TailFrom::End => "end",
    }
}

fn print(line: &RecordJson, json: bool) -> anyhow::Result<()> {
    if json {
        stdout::line(serde_json::to_string(line)?)?;
    } else {
        stdout::line(text(&Record::try_from(line.clone())?))?;
    }
    Ok(())
}

/// One line for people: where, when, what, and the body where it can be read.
fn text(record: &Record) -> String {
    let kind = record.headers.text("ce_type").unwrap_or("-");
    let body = match event_log::decode_event(record) {
        Ok(recorded) => recorded.event.body_json().to_string(),
        Err(_) => match std::str::from_utf8(&record.value) {
            Ok(text) => text.to_owned(),
            Err(_) => format!("({} bytes)", record.value.len()),
        },
    };
    let key = String::from_utf8_lossy(&record.key);
    format!("{}  {}  {key}  {kind}  {body}", record.position, record.timestamp)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use event_log::Headers;
    use schemas::Timestamp;

    use super::*;

    #[test]
    fn a_record_that_is_no_event_is_shown_as_text_or_by_its_size() {
        let mut record = Record {
            position: "millrace.commands/0@3".parse().unwrap(),
            timestamp: Timestamp::from_millis(0),
            key: Bytes::from_static(b"7"),
            headers: Headers::new(),
            value: Bytes::from_static(b"{\"a\":1}"),
        };
        assert_eq!(text(&record), "millrace.commands/0@3  1970-01-01T00:00:00.000Z  7  -  {\"a\":1}");
        record.value = Bytes::from_static(&[0xff, 0xfe]);
        assert!(text(&record).ends_with("(2 bytes)"));
    }
}
