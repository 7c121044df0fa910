//! Keys and values as bytes.
//!
//! Row: `<table> 00 <partition key> 00 <sort key>` → topic length (2 bytes), topic, partition (4), last offset (8),
//! document. Checkpoint: `01 <table> 00 <topic> 00 <partition>` → next offset (8). Numbers are big-endian. A table's
//! name starts with a letter, so rows and checkpoints keep apart; no key holds a zero byte, so that a shorter partition
//! key sorts before a longer one with the same beginning and no key is another one's prefix by accident.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::{Error, Row, RowKey, Source, Table};

const CHECKPOINTS: u8 = 1;

/// One copy of each topic's name, however many rows name it.
#[derive(Default)]
pub(super) struct Interner(Mutex<HashSet<Arc<str>>>);

impl Interner {
    fn topic(&self, name: &str) -> Arc<str> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = known.get(name) {
            return topic.clone();
        }
        let topic: Arc<str> = name.into();
        known.insert(topic.clone());
        topic
    }
}

pub(super) fn table_prefix(table: Table) -> Vec<u8> {
    format!("{table}\0").into_bytes()
}

pub(super) fn row_prefix(table: Table, partition_key: &str) -> Vec<u8> {
    format!("{table}\0{partition_key}\0").into_bytes()
}

pub(super) fn row_key(key: &RowKey) -> Vec<u8> {
    let mut bytes = row_prefix(key.table, &key.partition_key);
    bytes.extend_from_slice(key.sort_key.as_bytes());
    bytes
}

/// The first key behind all keys with this prefix. Prefixes end in the separator 00, so the next one is 01.
pub(super) fn after_prefix(mut prefix: Vec<u8>) -> Vec<u8> {
    if let Some(last) = prefix.last_mut() {
        *last = 1;
    }
    prefix
}

/// The partition key and sort key in a row's key; none when it is of another table.
pub(super) fn keys_in_table(key: &[u8], table_prefix: &[u8]) -> Result<Option<(String, String)>, Error> {
    let Some(rest) = key.strip_prefix(table_prefix) else { return Ok(None) };
    let text = std::str::from_utf8(rest).ok().and_then(|text| text.split_once('\0'));
    match text {
        Some((partition_key, sort_key)) => Ok(Some((partition_key.to_owned(), sort_key.to_owned()))),
        None => Err(Error::Damaged {
            what: format!("a key of {} has no sort key", String::from_utf8_lossy(table_prefix)),
        }),
    }
}

pub(super) fn value(document: &[u8], source: &Source, offset: u64) -> Result<Vec<u8>, Error> {
    let topic_length = u16::try_from(source.topic.len()).map_err(|_| Error::Key {
        key: source.topic.chars().take(64).collect(),
        reason: "a topic has at most 65,535 bytes",
    })?;
    let mut bytes = Vec::with_capacity(2 + source.topic.len() + 12 + document.len());
    bytes.extend_from_slice(&topic_length.to_be_bytes());
    bytes.extend_from_slice(source.topic.as_bytes());
    bytes.extend_from_slice(&source.partition.to_be_bytes());
    bytes.extend_from_slice(&offset.to_be_bytes());
    bytes.extend_from_slice(document);
    Ok(bytes)
}

pub(super) fn row(
    partition_key: String,
    sort_key: String,
    value: &[u8],
    topics: &Interner,
) -> Result<Row, Error> {
    let parse = || {
        let (length, rest) = value.split_first_chunk::<2>()?;
        let (topic, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let (partition, rest) = rest.split_first_chunk::<4>()?;
        let (offset, document) = rest.split_first_chunk::<8>()?;
        let topic = topics.topic(std::str::from_utf8(topic).ok()?);
        let source = Source { topic, partition: u32::from_be_bytes(*partition) };
        Some((source, u64::from_be_bytes(*offset), Bytes::copy_from_slice(document)))
    };
    match parse() {
        Some((source, last_offset, document)) => {
            Ok(Row { partition_key, sort_key, document, source, last_offset })
        }
        None => Err(Error::Damaged { what: format!("the row {partition_key:?} {sort_key:?} is cut short") }),
    }
}

pub(super) fn checkpoint_prefix(table: Table) -> Vec<u8> {
    let mut bytes = vec![CHECKPOINTS];
    bytes.extend_from_slice(&table_prefix(table));
    bytes
}

pub(super) fn checkpoint_key(table: Table, source: &Source) -> Vec<u8> {
    let mut bytes = checkpoint_prefix(table);
    bytes.extend_from_slice(source.topic.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(&source.partition.to_be_bytes());
    bytes
}

pub(super) fn checkpoint_source(
    key: &[u8],
    prefix_length: usize,
    topics: &Interner,
) -> Result<Source, Error> {
    let parse = || {
        let (topic, partition) = key.get(prefix_length..)?.split_last_chunk::<4>()?;
        let topic = std::str::from_utf8(topic.strip_suffix(&[0])?).ok()?;
        Some(Source { topic: topics.topic(topic), partition: u32::from_be_bytes(*partition) })
    };
    parse().ok_or_else(|| Error::Damaged { what: "a checkpoint's key".to_owned() })
}

pub(super) fn number(bytes: &[u8], what: &str) -> Result<u64, Error> {
    let bytes = bytes.try_into().map_err(|_| Error::Damaged { what: format!("{what} is not a number") })?;
    Ok(u64::from_be_bytes(bytes))
}
