//! The business key that keeps returns, adjustments, receipts and credits from happening twice.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a reference: <document>, <document>/<row> or <document>/<row>/<part>, at most 128 bytes, rows and parts counted from 1"
)]
pub struct ReferenceError {
    /// What was given.
    pub text: String,
}

/// A row of a business document: `<document>`, `<document>/<row>` or, where one row splits, `<document>/<row>/<part>`.
///
/// Within one stream the same reference means the same deed: it is done once, whoever repeats it, however late.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, utoipa::ToSchema)]
#[schema(
    value_type = String,
    pattern = r"^[A-Za-z0-9._~:@+-]([A-Za-z0-9._~:@+ -]{0,126}[A-Za-z0-9._~:@+-])?(/[1-9][0-9]{0,8}){0,2}$",
    example = "C536379/1"
)]
pub struct Reference(Arc<str>);

impl Reference {
    /// A row of a document (rows count from 1).
    pub fn row(document: &str, row: u32) -> Result<Self, ReferenceError> {
        format!("{document}/{row}").parse()
    }

    /// A part of a row that was split (parts count from 1).
    pub fn part(document: &str, row: u32, part: u32) -> Result<Self, ReferenceError> {
        format!("{document}/{row}/{part}").parse()
    }

    /// The reference as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this stands for a whole row or for its first part: counting these counts rows.
    pub fn is_first_part(&self) -> bool {
        self.0.splitn(3, '/').nth(2).is_none_or(|part| part == "1")
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let mut parts = text.split('/');
        let document = parts.next().unwrap_or_default();
        let number = |part: &str| part.parse::<u32>().is_ok_and(|n| n > 0) && !part.starts_with(['0', '+']);
        let valid = text.len() <= crate::id::ID_BYTES_MAX
            && crate::id::check("reference", document).is_ok()
            && parts.clone().count() <= 2
            && parts.all(number);
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(ReferenceError { text: text.chars().take(160).collect() })
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

avro_as!(Reference, apache_avro::Schema::String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_once_however_they_split() {
        let first = |text: &str| text.parse::<Reference>().unwrap().is_first_part();
        assert!(first("C1/2") && first("C1/2/1") && first("delivery-7"));
        assert!(!first("C1/2/2"));
        for bad in ["", "/1", "a/0", "a/b", "a/1/2/3", "a/+1"] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }
}
