//! Places in the log, and vectors of them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a position; it looks like millrace.order.events/0@17")]
pub struct PositionError {
    /// What was given.
    pub text: String,
}

/// Place of one record: topic, partition, offset. Written `topic/partition@offset`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Full topic name.
    pub topic: Arc<str>,
    /// Partition, from 0.
    pub partition: u32,
    /// Offset of the record, from 0.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

impl FromStr for Position {
    type Err = PositionError;
    fn from_str(text: &str) -> Result<Self, PositionError> {
        let parse = || {
            let (topic, rest) = text.rsplit_once('/')?;
            let (partition, offset) = rest.split_once('@')?;
            if topic.is_empty() || topic.len() > 249 {
                return None;
            }
            Some(Self {
                topic: topic.into(),
                partition: partition.parse().ok()?,
                offset: offset.parse().ok()?,
            })
        };
        parse().ok_or_else(|| PositionError { text: text.chars().take(300).collect() })
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The highest offset per topic and partition: what a `Millrace-Position` header holds.
///
/// Written as comma-separated `topic/partition@offset` pairs, in order of topic and partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions(BTreeMap<(Arc<str>, u32), u64>);

impl Positions {
    /// No positions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes `position`; the higher offset of a partition wins.
    pub fn advance(&mut self, position: &Position) {
        self.advance_to(position.topic.clone(), position.partition, position.offset);
    }

    /// Notes an offset; the higher one of a partition wins.
    pub fn advance_to(&mut self, topic: Arc<str>, partition: u32, offset: u64) {
        let known = self.0.entry((topic, partition)).or_insert(offset);
        *known = (*known).max(offset);
    }

    /// The offset noted for a partition.
    pub fn offset(&self, topic: &str, partition: u32) -> Option<u64> {
        // The key owns its topic, so a look-up makes one; vectors are short and look-ups are not on the write path.
        self.0.get(&(Arc::from(topic), partition)).copied()
    }

    /// All positions, ordered by topic and partition.
    pub fn iter(&self) -> impl Iterator<Item = Position> + '_ {
        self.0.iter().map(|((topic, partition), offset)| Position {
            topic: topic.clone(),
            partition: *partition,
            offset: *offset,
        })
    }

    /// Whether nothing is noted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Extend<Position> for Positions {
    fn extend<I: IntoIterator<Item = Position>>(&mut self, positions: I) {
        for position in positions {
            self.advance(&position);
        }
    }
}

impl FromIterator<Position> for Positions {
    fn from_iter<I: IntoIterator<Item = Position>>(positions: I) -> Self {
        let mut all = Self::new();
        all.extend(positions);
        all
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, position) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            position.fmt(f)?;
        }
        Ok(())
    }
}

impl FromStr for Positions {
    type Err = PositionError;
    fn from_str(text: &str) -> Result<Self, PositionError> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_round_trip_and_keep_the_higher_offset() {
        let text = "m.order.events/0@17,m.stock.events/1@3";
        let mut all: Positions = text.parse().unwrap();
        assert_eq!(all.to_string(), text);
        all.advance(&"m.order.events/0@4".parse().unwrap());
        assert_eq!(all.offset("m.order.events", 0), Some(17));
        assert!("m.order.events/x@1".parse::<Positions>().is_err());
        assert!("@".parse::<Position>().is_err());
    }
}
