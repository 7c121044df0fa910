//! Who owns a shard: the records of the shard-owners topic.

use bytes::Bytes;
use schemas::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{FramingError, Headers, NewRecord, Record, Shard, Topics, WriterTerm};

/// Who owns a shard, since which term: one record of the shard-owners topic, key = shard, body = JSON.
///
/// It tells where to forward. A wrong guess costs one hop, never a wrong write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardOwner {
    /// The shard.
    pub shard: Shard,
    /// The owning node's name.
    pub owner: String,
    /// Where its commands API listens; empty when it has none.
    pub address: String,
    /// The term of the ownership.
    pub term: WriterTerm,
}

impl ShardOwner {
    pub(crate) fn encode(&self, topics: &Topics, recorded_at: Timestamp) -> NewRecord {
        let body = serde_json::to_vec(self).expect("strings and numbers have a JSON form");
        let mut headers = Headers::with_capacity(1);
        headers.push("content-type", Bytes::from_static(b"application/json"));
        NewRecord {
            topic: topics.shard_owners().clone(),
            partition: self.shard.partition(),
            key: self.shard.to_string().into(),
            headers,
            value: body.into(),
            timestamp: recorded_at,
        }
    }
}

/// Reads a record of the shard-owners topic.
pub fn decode_shard_owner(record: &Record) -> Result<ShardOwner, FramingError> {
    serde_json::from_slice(&record.value)
        .map_err(|source| FramingError::Json { position: record.position.clone(), source })
}
