//! What the host promises, on both logs.
#![cfg(test)]

mod clients;
mod harness;
mod laws;
mod planted;
mod recovery;
