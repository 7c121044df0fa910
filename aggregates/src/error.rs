//! What all domain errors have in common: a code, facts by name, and the list of their variants.

use schemas::{ErrorCode, Rejection, Retry};

/// A rule that refused a command, with its facts. Each aggregate has one enum of them.
pub trait DomainError: std::error::Error {
    /// Names of all variants: what the tests must reach.
    const NAMES: &'static [&'static str];

    /// The variant's name.
    fn name(&self) -> &'static str;

    /// The code under which callers know the rule.
    fn code(&self) -> ErrorCode;

    /// The code, the sentence, and every field of the variant as a fact of the same name.
    fn rejection(&self) -> Rejection;

    /// Whether repeating the command can help.
    fn retry(&self) -> Retry {
        self.code().retry()
    }
}

/// Defines the error enum of an aggregate. Each variant is one rule: its sentence, its facts, its code.
macro_rules! domain_errors {
    ($(#[$doc:meta])* $name:ident { $($(#[$meta:meta])+ $variant:ident { $($field:ident: $type:ty),* $(,)? } => $code:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        #[allow(missing_docs, reason = "the sentence of each variant says its rule and names its facts")]
        pub enum $name {
            $($(#[$meta])+ $variant { $($field: $type),* },)+
        }

        impl crate::error::DomainError for $name {
            const NAMES: &'static [&'static str] = &[$(stringify!($variant)),+];

            fn name(&self) -> &'static str {
                match self { $(Self::$variant { .. } => stringify!($variant),)+ }
            }

            fn code(&self) -> schemas::ErrorCode {
                match self { $(Self::$variant { .. } => schemas::ErrorCode::$code,)+ }
            }

            fn rejection(&self) -> schemas::Rejection {
                let rejection = schemas::Rejection::new(self.code(), self.to_string());
                match self { $(Self::$variant { $($field),* } => rejection$(.fact(stringify!($field), $field))*,)+ }
            }
        }

        impl From<crate::limits::Invalid> for $name {
            fn from(invalid: crate::limits::Invalid) -> Self {
                Self::InvalidValue { field: invalid.field, problem: invalid.problem }
            }
        }
    };
}
