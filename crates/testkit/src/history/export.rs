//! The log of a running process, over its admin API.
//!
//! This reads the documented lines (`GET /admin/v1/log/{topic}/{partition}`) by itself: the program's own types are not
//! for those below it.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use event_log::{Headers, Record, Topics};
use reqwest::StatusCode;
use schemas::{Position, Timestamp};
use serde::Deserialize;

use super::LoggedRecord;
use super::logged::checked_topics;
use crate::SOON;

/// Few exports run at a time; how long to wait for a place.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

#[derive(Deserialize)]
struct Summary {
    namespace: String,
    partitions: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Record(Box<Exported>),
    /// The answer is complete.
    End(serde::de::IgnoredAny),
    Failed(String),
}

#[derive(Deserialize)]
struct Exported {
    position: Position,
    timestamp: Timestamp,
    key: Text,
    headers: Vec<(String, Text)>,
    value_base64: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Utf8(String),
    Bytes { base64: String },
}

impl Text {
    fn bytes(self) -> anyhow::Result<Bytes> {
        Ok(match self {
            Self::Utf8(text) => text.into(),
            Self::Bytes { base64 } => BASE64.decode(base64)?.into(),
        })
    }
}

impl Exported {
    fn record(self) -> anyhow::Result<Record> {
        let mut headers = Headers::with_capacity(self.headers.len());
        for (name, value) in self.headers {
            headers.push(name, value.bytes()?);
        }
        let value = BASE64.decode(self.value_base64)?.into();
        Ok(Record {
            position: self.position,
            timestamp: self.timestamp,
            key: self.key.bytes()?,
            headers,
            value,
        })
    }
}

/// What the log of the process at `url` says, as far as a history is held against it.
///
/// Take it after the clients have ended: what is asked later is not in it.
pub async fn export_log(client: &reqwest::Client, url: &str) -> anyhow::Result<Vec<LoggedRecord>> {
    let (topics, records) = export_records(client, url).await?;
    Ok(records.iter().map(|record| LoggedRecord::of(record, &topics)).collect())
}

/// Reads all events and outcomes of the process at `url`, each partition in order and up to its stable end.
pub async fn export_records(client: &reqwest::Client, url: &str) -> anyhow::Result<(Topics, Vec<Record>)> {
    let summary: Summary = get(client, &format!("{url}/admin/v1/log")).await?.json().await?;
    let topics = Topics::new(&summary.namespace);
    let mut records = Vec::new();
    for topic in checked_topics(&topics) {
        for partition in 0..summary.partitions {
            let response = get(client, &format!("{url}/admin/v1/log/{topic}/{partition}")).await?;
            let read = read_partition(response, &mut records).await;
            read.with_context(|| format!("reading {topic}/{partition}"))?;
        }
    }
    Ok((topics, records))
}

async fn get(client: &reqwest::Client, url: &str) -> anyhow::Result<reqwest::Response> {
    let deadline = Instant::now() + SOON;
    loop {
        let response = client.get(url).send().await.with_context(|| format!("asking {url}"))?;
        if response.status() != StatusCode::TOO_MANY_REQUESTS {
            return Ok(response.error_for_status()?);
        }
        ensure!(Instant::now() < deadline, "{url} was busy for {} s", SOON.as_secs());
        tokio::time::sleep(BUSY_PAUSE).await;
    }
}

/// Takes the lines of one partition; an answer without its end line was cut off.
async fn read_partition(mut response: reqwest::Response, records: &mut Vec<Record>) -> anyhow::Result<()> {
    let mut rest = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        rest.extend_from_slice(&chunk);
        let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else { continue };
        let tail = rest.split_off(end + 1);
        for line in rest.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line)? {
                Line::Record(exported) => records.push(exported.record()?),
                Line::End(_) => return Ok(()),
                Line::Failed(why) => bail!("the process could not read its log: {why}"),
            }
        }
        rest = tail;
    }
    bail!("the answer was cut off")
}
