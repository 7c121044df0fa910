//! Takes the log record by record; says at the end whether its promises hold.
//!
//! It shares no code with the aggregates: a rule that is wrong there is found here.

use event_log::{Record, Topics, decode_event, decode_outcome};
use schemas::Event;

use super::money::MoneyChecks;
use super::orders::OrderChecks;
use super::report::Report;
use super::stock::StockChecks;
use super::streams::StreamChecks;

/// A verification under way. Records of one partition must come in order; partitions in any.
pub struct Checker {
    topics: Topics,
    partitions: u32,
    streams: StreamChecks,
    stock: StockChecks,
    money: MoneyChecks,
    orders: OrderChecks,
    report: Report,
}

impl Checker {
    /// Starts with an empty log of `partitions` partitions.
    pub fn new(topics: Topics, partitions: u32) -> Self {
        Self {
            topics,
            partitions,
            streams: StreamChecks::default(),
            stock: StockChecks::default(),
            money: MoneyChecks::default(),
            orders: OrderChecks::default(),
            report: Report::default(),
        }
    }

    /// Takes one record of an event topic or of the outcomes topic.
    pub fn record(&mut self, record: &Record) {
        let report = &mut self.report;
        let position = &record.position;
        report.records += 1;
        if position.topic == *self.topics.outcomes() {
            match decode_outcome(record) {
                Ok(outcome) => {
                    report.outcomes += 1;
                    self.streams.outcome(&outcome, position, report);
                }
                Err(error) => report.violation(|| format!("{position}: unreadable outcome: {error}")),
            }
            return;
        }
        let recorded = match decode_event(record) {
            Ok(recorded) => recorded,
            Err(error) => return report.violation(|| format!("{position}: unreadable event: {error}")),
        };
        report.events += 1;
        self.streams.event(&recorded, self.partitions, report);
        match &recorded.event {
            Event::Stock(event) => self.stock.event(event, position, report),
            Event::Payment(event) => self.money.payment(event, position, report),
            Event::Customer(event) => self.money.customer(event, position, report),
            Event::Order(event) => self.orders.event(event, position, report),
            Event::Product(_) | Event::Cart(_) | Event::Shipment(_) => {}
        }
    }

    /// The end of the log. `settled`: what is still under way counts as a violation.
    pub fn finish(mut self, settled: bool) -> Report {
        self.streams.finish(&mut self.report);
        self.stock.finish(&mut self.report);
        self.money.finish(&mut self.report);
        self.orders.finish(&self.stock, &self.money, settled, &mut self.report);
        self.report
    }
}
