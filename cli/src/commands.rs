//! One module a subcommand.

pub(crate) mod dead_letters;
pub(crate) mod events;
pub(crate) mod projections;
pub(crate) mod rebuild;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod tail;
pub(crate) mod topics;
pub(crate) mod up;
