//! What a verification found.

use std::fmt;

use serde::Serialize;

/// Most violations that are kept in words; further ones are only counted.
const VIOLATIONS_TOLD_MAX: usize = 100;

/// What was read, and what was wrong with it.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Records read.
    pub records: u64,
    /// Events among them.
    pub events: u64,
    /// Refusals and no-ops among them.
    pub outcomes: u64,
    /// Streams met.
    pub streams: u64,
    /// Command ids met.
    pub commands: u64,
    /// Writer terms met, all shards together.
    pub writer_terms: u64,
    /// SKUs with stock.
    pub skus: u64,
    /// Units in the house, all SKUs together.
    pub on_hand_units: i64,
    /// Units promised to orders.
    pub reserved_units: i64,
    /// Orders met.
    pub orders: u64,
    /// Orders that ended delivered.
    pub delivered_orders: u64,
    /// Orders that ended cancelled.
    pub cancelled_orders: u64,
    /// Orders that have not ended yet.
    pub open_orders: u64,
    /// Payments met.
    pub payments: u64,
    /// Money authorised, minor units, all payments together.
    pub authorised: i64,
    /// Money captured.
    pub captured: i64,
    /// Money voided.
    pub voided: i64,
    /// Money refunded.
    pub refunded: i64,
    /// Things that are still under way: reservations of ended orders not freed yet, payments not settled yet.
    pub unsettled: u64,
    /// How many violations there are.
    pub violation_count: u64,
    /// The first hundred of them, in words.
    pub violations: Vec<String>,
}

impl Report {
    /// Notes a violation.
    pub(crate) fn violation(&mut self, what: impl FnOnce() -> String) {
        self.violation_count += 1;
        if self.violations.len() < VIOLATIONS_TOLD_MAX {
            self.violations.push(what());
        }
    }

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.violation_count == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "read       {} records: {} events, {} outcomes",
            self.records, self.events, self.outcomes
        )?;
        writeln!(
            f,
            "streams    {} gapless, {} commands, {} writer terms",
            self.streams, self.commands, self.writer_terms
        )?;
        writeln!(
            f,
            "stock      {} SKUs, {} on hand, {} reserved",
            self.skus, self.on_hand_units, self.reserved_units
        )?;
        writeln!(
            f,
            "orders     {}: {} delivered, {} cancelled, {} open",
            self.orders, self.delivered_orders, self.cancelled_orders, self.open_orders
        )?;
        writeln!(
            f,
            "payments   {}: authorised {}, captured {}, voided {}, refunded {} (minor units)",
            self.payments, self.authorised, self.captured, self.voided, self.refunded
        )?;
        if self.unsettled > 0 {
            writeln!(f, "unsettled  {} (still under way; --settled makes these violations)", self.unsettled)?;
        }
        for violation in &self.violations {
            writeln!(f, "VIOLATION  {violation}")?;
        }
        match self.violation_count {
            0 => write!(f, "clean"),
            count => write!(f, "{count} violations"),
        }
    }
}
