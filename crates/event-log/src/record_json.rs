//! A record as JSON, for whoever keeps or shows one outside of the log.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use schemas::{Position, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Headers, Record};

/// A committed record as JSON, byte for byte convertible into a [`Record`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordJson {
    /// `topic/partition@offset`.
    pub position: Position,
    /// When it was recorded.
    pub timestamp: Timestamp,
    /// Key; empty when the record had none.
    pub key: BytesJson,
    /// Names and values in order; a name may repeat.
    pub headers: Vec<(String, BytesJson)>,
    /// The body in standard base64 with padding.
    pub value_base64: String,
}

/// Bytes that are text nearly always: `"text"`, otherwise `{"base64": "…"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BytesJson {
    /// UTF-8.
    Utf8(String),
    /// Anything else.
    Bytes {
        /// Standard base64 with padding.
        base64: String,
    },
}

impl From<&[u8]> for BytesJson {
    fn from(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Utf8(text.to_owned()),
            Err(_) => Self::Bytes { base64: BASE64.encode(bytes) },
        }
    }
}

impl TryFrom<BytesJson> for Bytes {
    type Error = base64::DecodeError;

    fn try_from(text: BytesJson) -> Result<Self, Self::Error> {
        Ok(match text {
            BytesJson::Utf8(text) => text.into(),
            BytesJson::Bytes { base64 } => BASE64.decode(base64)?.into(),
        })
    }
}

impl From<&Record> for RecordJson {
    fn from(record: &Record) -> Self {
        Self {
            position: record.position.clone(),
            timestamp: record.timestamp,
            key: BytesJson::from(&record.key[..]),
            headers: record
                .headers
                .iter()
                .map(|(name, value)| (name.to_owned(), BytesJson::from(&value[..])))
                .collect(),
            value_base64: BASE64.encode(&record.value),
        }
    }
}

impl TryFrom<RecordJson> for Record {
    type Error = base64::DecodeError;

    fn try_from(line: RecordJson) -> Result<Self, Self::Error> {
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
        let line = serde_json::to_string(&RecordJson::from(&record)).unwrap();
        let back: RecordJson = serde_json::from_str(&line).unwrap();
        assert_eq!(Record::try_from(back).unwrap(), record);
    }
}
