//! The name of a table, its version included.

use std::fmt;

/// A table of one version of one projection, written `order_v1`; of a later generation `order_v1_g2`.
///
/// A projection whose documents change gets a new version, one that is built anew from the log a new generation: either way a
/// new table beside the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Table {
    name: &'static str,
    version: u32,
    generation: u32,
}

impl Table {
    /// The table of `version` of the projection `name`.
    ///
    /// # Panics
    /// When the name is not 1 to 32 characters of `a-z`, `0-9` and `_` that start with a letter; at compile time in a
    /// constant.
    pub const fn new(name: &'static str, version: u32) -> Self {
        let bytes = name.as_bytes();
        assert!(!bytes.is_empty() && bytes.len() <= 32, "a table's name has 1 to 32 characters");
        assert!(bytes[0].is_ascii_lowercase(), "a table's name starts with a letter");
        let mut i = 0;
        while i < bytes.len() {
            let allowed = bytes[i].is_ascii_lowercase() || bytes[i].is_ascii_digit() || bytes[i] == b'_';
            assert!(allowed, "a table's name is made of a-z, 0-9 and _");
            i += 1;
        }
        Self { name, version, generation: 1 }
    }

    /// The same projection's table of another generation, from 1.
    #[must_use]
    pub const fn of_generation(self, generation: u32) -> Self {
        Self { generation, ..self }
    }

    /// The projection's name.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// The projection's version, from 1.
    pub const fn version(self) -> u32 {
        self.version
    }

    /// How many times it was built anew, this one included: from 1.
    pub const fn generation(self) -> u32 {
        self.generation
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_v{}", self.name, self.version)?;
        if self.generation == 1 { Ok(()) } else { write!(f, "_g{}", self.generation) }
    }
}
