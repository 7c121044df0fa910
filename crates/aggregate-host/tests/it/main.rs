//! What the host promises, on both logs.
#![cfg(test)]

mod harness;
mod laws;
mod recovery;
