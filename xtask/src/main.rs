//! cargo xtask ci | prove | tidy | infra | bench.

fn main() {}
