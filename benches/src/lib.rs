//! What the measurements share: a load generator, and what they were taken on.

pub mod load;
mod machine;

pub use machine::machine;
