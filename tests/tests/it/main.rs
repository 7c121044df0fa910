//! Whole-system scenarios: the real program, the real logs, the real shop's data.
#![cfg(test)]

mod checkout;
mod cluster;
mod crash;
mod online_retail;
mod shop;
