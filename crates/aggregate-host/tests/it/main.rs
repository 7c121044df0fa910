//! What the host promises, on both logs.
#![cfg(test)]

mod clients;
mod clock;
mod harness;
mod laws;
mod planted;
mod recovery;
