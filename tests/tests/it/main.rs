//! Whole-system scenarios: the real program, the real logs, the real shop's data.
#![cfg(test)]

mod brokers;
mod checkout;
mod cluster;
mod cluster_history;
mod cql_views;
mod crash;
mod crash_history;
mod crash_import;
mod fail_points;
mod online_retail;
mod race;
mod shop;
mod sleeping_owner;
mod soak;
mod views;
