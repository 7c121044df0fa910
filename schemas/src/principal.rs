//! Who acts.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{IdError, check};

/// Who sent a command: `anonymous`, a name, `process:<process manager>` or `kafka:<topic>`. An id's alphabet.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Principal(Arc<str>);

impl Principal {
    /// Checks and wraps a name.
    pub fn new(name: impl AsRef<str>) -> Result<Self, IdError> {
        check("principal", name.as_ref())?;
        Ok(Self(name.as_ref().into()))
    }

    /// Nobody in particular.
    pub fn anonymous() -> Self {
        Self("anonymous".into())
    }

    /// A process manager.
    pub fn process(name: &'static str) -> Self {
        Self(format!("process:{name}").into())
    }

    /// Whoever wrote to a Kafka topic, whatever the record claims.
    pub fn kafka(topic: &str) -> Self {
        Self(format!("kafka:{topic}").into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl Serialize for Principal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Principal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
