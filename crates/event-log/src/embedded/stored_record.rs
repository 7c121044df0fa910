//! A record as it lies in the database: key and value of one row.

use bytes::Bytes;
use schemas::{Position, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, Headers, NewRecord, Record};

/// Bytes of a row's key: topic number, partition, offset, all big-endian, so that rows of a partition lie in offset
/// order.
pub(crate) const ROW_KEY_BYTES: usize = 2 + 4 + 8;

/// The key of a row.
pub(crate) fn row_key(topic: u16, partition: u32, offset: u64) -> [u8; ROW_KEY_BYTES] {
    let mut key = [0; ROW_KEY_BYTES];
    key[..2].copy_from_slice(&topic.to_be_bytes());
    key[2..6].copy_from_slice(&partition.to_be_bytes());
    key[6..].copy_from_slice(&offset.to_be_bytes());
    key
}

/// The part of the key that all rows of a partition share.
pub(crate) fn partition_prefix(topic: u16, partition: u32) -> [u8; 6] {
    let mut prefix = [0; 6];
    prefix[..2].copy_from_slice(&topic.to_be_bytes());
    prefix[2..].copy_from_slice(&partition.to_be_bytes());
    prefix
}

/// The offset in a row's key; `None` when the key has another length.
pub(crate) fn offset_of(key: &[u8]) -> Option<u64> {
    (key.len() == ROW_KEY_BYTES).then(|| key[6..].try_into().map(u64::from_be_bytes).ok()).flatten()
}

/// The value of a row (postcard: varint lengths, bytes as they are). Format version 1.
#[derive(Serialize, Deserialize)]
struct StoredRecord<'a> {
    timestamp_millis: i64,
    #[serde(borrow)]
    key: Raw<'a>,
    #[serde(borrow)]
    headers: Vec<(&'a str, Raw<'a>)>,
    #[serde(borrow)]
    value: Raw<'a>,
}

/// Bytes that are copied as they are: serde would take a slice for a sequence of numbers.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'a [u8]>::deserialize(deserializer).map(Self)
    }
}

/// Writes a record's row value.
pub(crate) fn encode(record: &NewRecord) -> Result<Vec<u8>, postcard::Error> {
    let stored = StoredRecord {
        timestamp_millis: record.timestamp.as_millis(),
        key: Raw(&record.key),
        headers: record.headers.iter().map(|(name, value)| (name, Raw(value))).collect(),
        value: Raw(&record.value),
    };
    let room = record.size_bytes() + 16 + 6 * record.headers.len();
    postcard::to_extend(&stored, Vec::with_capacity(room))
}

/// Reads a row. The record's parts share the row's memory.
pub(crate) fn decode(position: Position, row: fjall::UserValue) -> Result<Record, Error> {
    let row = Bytes::from_owner(row);
    let stored: StoredRecord<'_> = postcard::from_bytes(&row)
        .map_err(|error| Error::Damaged { what: format!("the record at {position}: {error}") })?;
    let mut headers = Headers::with_capacity(stored.headers.len());
    for (name, value) in &stored.headers {
        headers.push_read(name, row.slice_ref(value.0));
    }
    Ok(Record {
        timestamp: Timestamp::from_millis(stored.timestamp_millis),
        key: row.slice_ref(stored.key.0),
        headers,
        value: row.slice_ref(stored.value.0),
        position,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_round_trip_and_sort_by_offset() {
        let new = NewRecord {
            topic: "t".into(),
            partition: 3,
            key: Bytes::from_static(b"k"),
            headers: [("ce_id", &b"order/1/1"[..]), ("other", b"")].into_iter().collect(),
            value: Bytes::from_static(&[0, 255, 7]),
            timestamp: Timestamp::from_millis(1_700_000_000_123),
        };
        let position = Position { topic: "t".into(), partition: 3, offset: 300 };
        let read = decode(position.clone(), encode(&new).unwrap().into()).unwrap();
        let same = Record {
            position,
            timestamp: new.timestamp,
            key: new.key,
            headers: new.headers,
            value: new.value,
        };
        assert_eq!(read, same);
        assert!(row_key(1, 3, 255) < row_key(1, 3, 256) && row_key(1, 3, u64::MAX) < row_key(1, 4, 0));
        assert_eq!(offset_of(&row_key(1, 3, 256)), Some(256));
    }

    #[test]
    fn a_damaged_row_is_an_error_that_names_it() {
        let position = Position { topic: "t".into(), partition: 0, offset: 9 };
        let error = decode(position, vec![0xff; 3].into()).unwrap_err();
        assert!(error.to_string().contains("t/0@9"), "{error}");
    }
}
