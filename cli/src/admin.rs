//! The operator's way into a running process: what `/admin/v1` answers, to callers on this machine only.
//!
//! An embedded folder is locked by its process, so whoever wants to read its log asks the process. The answers are
//! plain data ([`LogSummary`], [`LogLine`], [`Status`]) that the commands `status`, `tail` and `verify` read back.

mod export;
mod loopback;
mod routes;
mod status;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use event_log::{Cursor, Headers, Record};
use schemas::{Position, Timestamp};
use serde::{Deserialize, Serialize};

pub(crate) use self::routes::{AdminState, router, tail_cursors};
pub use self::status::{LagStatus, ProcessManagersStatus, ShardsStatus, Status, TopicStatus};

/// `GET /admin/v1/log`: which topics there are, and how far each partition is stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSummary {
    /// Prefix of the topics.
    pub namespace: String,
    /// Partitions of every topic.
    pub partitions: u32,
    /// All topics.
    pub topics: Vec<TopicSummary>,
}

/// One topic of a [`LogSummary`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicSummary {
    /// Full topic name.
    pub topic: String,
    /// The offset after the last stable record of partition 0, 1, …
    pub stable_ends: Vec<u64>,
}

/// One line (NDJSON) of `GET /admin/v1/log/{topic}/{partition}` and of `GET /admin/v1/tail`.
///
/// An answer without a closing [`LogLine::End`] was cut off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLine {
    /// A committed record.
    Record(LogRecord),
    /// The answer is complete: where each partition goes on.
    End(Vec<LogCursor>),
    /// The log could not be read further.
    Failed(String),
}

/// A committed record as JSON, byte for byte convertible into a [`Record`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// `topic/partition@offset`.
    pub position: Position,
    /// When it was recorded.
    pub timestamp: Timestamp,
    /// Key; empty when the record had none.
    pub key: Text,
    /// Names and values in order; a name may repeat.
    pub headers: Vec<(String, Text)>,
    /// The body in standard base64 with padding.
    pub value_base64: String,
}

/// Bytes that are text nearly always: `"text"`, otherwise `{"base64": "…"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Text {
    /// UTF-8.
    Utf8(String),
    /// Anything else.
    Bytes {
        /// Standard base64 with padding.
        base64: String,
    },
}

/// Where to go on in one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogCursor {
    /// Full topic name.
    pub topic: String,
    /// Partition, from 0.
    pub partition: u32,
    /// Offset of the next record wanted.
    pub next_offset: u64,
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Utf8(text.to_owned()),
            Err(_) => Self::Bytes { base64: BASE64.encode(bytes) },
        }
    }
}

impl TryFrom<Text> for Bytes {
    type Error = base64::DecodeError;

    fn try_from(text: Text) -> Result<Self, Self::Error> {
        Ok(match text {
            Text::Utf8(text) => text.into(),
            Text::Bytes { base64 } => BASE64.decode(base64)?.into(),
        })
    }
}

impl From<&Record> for LogRecord {
    fn from(record: &Record) -> Self {
        Self {
            position: record.position.clone(),
            timestamp: record.timestamp,
            key: Text::from(&record.key[..]),
            headers: record
                .headers
                .iter()
                .map(|(name, value)| (name.to_owned(), Text::from(&value[..])))
                .collect(),
            value_base64: BASE64.encode(&record.value),
        }
    }
}

impl TryFrom<LogRecord> for Record {
    type Error = base64::DecodeError;

    fn try_from(line: LogRecord) -> Result<Self, Self::Error> {
        let mut headers = Headers::with_capacity(line.headers.len());
        for (name, value) in line.headers {
            headers.push(name, Bytes::try_from(value)?);
        }
        Ok(Self {
            position: line.position,
            timestamp: line.timestamp,
            key: line.key.try_into()?,
            headers,
            value: BASE64.decode(line.value_base64)?.into(),
        })
    }
}

impl From<Cursor> for LogCursor {
    fn from(cursor: Cursor) -> Self {
        Self { topic: cursor.topic.to_string(), partition: cursor.partition, next_offset: cursor.next_offset }
    }
}

impl From<LogCursor> for Cursor {
    fn from(cursor: LogCursor) -> Self {
        Self { topic: cursor.topic.into(), partition: cursor.partition, next_offset: cursor.next_offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_the_way_over_json_byte_for_byte() {
        let mut headers = Headers::new();
        headers.push("ce_id", "order/7/1");
        headers.push("foreign", vec![0xff, 0x00]);
        headers.push("ce_id", "again");
        let record = Record {
            position: "millrace.order.events/1@42".parse().unwrap(),
            timestamp: Timestamp::from_millis(1_291_190_400_123),
            key: Bytes::from_static(&[0xc3, 0x28]),
            headers,
            value: Bytes::from_static(&[0, 0, 0, 0, 7, 255]),
        };
        let line = serde_json::to_string(&LogLine::Record(LogRecord::from(&record))).unwrap();
        let LogLine::Record(back) = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
        assert_eq!(Record::try_from(back).unwrap(), record);
    }
}
