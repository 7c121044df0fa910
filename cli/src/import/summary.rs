//! What an import came to, for people and for scripts.

use std::fmt;
use std::time::Duration;

use indicatif::HumanCount;
use schemas::{Currency, Money};
use serde::Serialize;

use super::deliveries::Cancelled;
use super::figures::Figures;
use super::tally::{Counts, more};

/// The end of an import. Printed, it is the closing report.
#[derive(Debug)]
pub(crate) struct Summary {
    /// What the query API says that the shop holds now.
    pub(super) figures: Figures,
    /// What a shop that holds nothing else must hold.
    pub(super) expected: Figures,
    pub(super) counts: Counts,
    pub(super) cancelled: Cancelled,
    pub(super) elapsed: Duration,
}

/// The closing object of `--json`.
#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    figures: &'a Figures,
    new_events: u64,
    replayed: u64,
    seconds: f64,
}

impl Summary {
    /// Whether everything in the file is in the shop, as far as can be told.
    pub(crate) fn is_complete(&self) -> bool {
        self.counts.refused_commands == 0
            && self.cancelled.count == 0
            && (self.holds_more() || self.figures == self.expected)
    }

    /// One line of JSON: the figures as the query API reports them, and what this run did.
    pub(crate) fn json(&self) -> String {
        let seconds = self.elapsed.as_millis() as f64 / 1_000.0;
        let (new_events, replayed) = (self.counts.new_events, self.counts.known_commands);
        serde_json::to_string(&Json { figures: &self.figures, new_events, replayed, seconds })
            .expect("numbers are JSON")
    }

    /// What the operator should know beside the report; nothing when all is as it should be.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.counts.refused_commands > 0 {
            remarks.extend(self.counts.refusal_lines());
        }
        if self.cancelled.count > 0 {
            remarks.extend(self.cancelled.first.iter().cloned());
            remarks.extend(more(self.cancelled.count, self.cancelled.first.len()));
        }
        if self.holds_more() {
            let (orders, own) = (self.figures.orders, self.expected.orders);
            remarks.push(format!(
                "note: the shop holds other data too ({orders} orders, {own} of them in the file); the totals include it"
            ));
        } else if self.figures != self.expected {
            remarks.push("the shop's totals are not what the file comes to:".to_owned());
            let pairs = self.figures.entries().into_iter().zip(self.expected.entries());
            remarks.extend(
                pairs
                    .filter(|(is, should)| is != should)
                    .map(|((name, is), (_, should))| format!("  {name} is {is}, should be {should}")),
            );
        }
        remarks
    }

    fn holds_more(&self) -> bool {
        self.figures.orders > self.expected.orders
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { new_commands, new_events, known_commands, .. } = self.counts;
        let known = HumanCount(known_commands);
        if new_commands == 0 {
            writeln!(f, "Nothing new: {known} commands already known.")?;
        } else {
            let (commands, events) = (HumanCount(new_commands), HumanCount(new_events));
            writeln!(f, "{commands} new commands with {events} events of their own, {known} already known.")?;
        }
        writeln!(f, "{:.1} s. The shop now holds, as its query API says:", self.elapsed.as_secs_f64())?;
        let figures = &self.figures;
        let count = |value: i64| HumanCount(u64::try_from(value).unwrap_or_default()).to_string();
        let pounds = |minor: i64| grouped(Money::new(minor, Currency::GBP));
        let rows = [
            ("orders", count(figures.orders), format!("{} of guests", count(figures.guest_orders))),
            ("order lines", count(figures.order_lines), String::new()),
            ("customers", count(figures.customers), "with an order".to_owned()),
            ("products", count(figures.skus), String::new()),
            ("corrections", count(figures.correction_lines), "rows".to_owned()),
            ("returns", count(figures.return_rows), "rows".to_owned()),
            ("credit notes", count(figures.credit_rows), "rows".to_owned()),
            ("gross", pounds(figures.gross), String::new()),
            ("refunds", pounds(figures.refunds), String::new()),
            ("credits", pounds(figures.credits), String::new()),
            ("net", pounds(figures.net), String::new()),
            ("units received", count(figures.opening_units), String::new()),
            ("units on hand", count(figures.on_hand_units), String::new()),
        ];
        for (name, value, remark) in rows {
            writeln!(f, "{}", format!("  {name:<16}{value:>18}  {remark}").trim_end())?;
        }
        Ok(())
    }
}

/// `7352354.17 GBP` with separators of thousands.
fn grouped(money: Money) -> String {
    let text = money.to_string();
    let (sign, rest) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let at = rest.find(['.', ' ']).unwrap_or(rest.len());
    let whole: u64 = rest[..at].parse().unwrap_or_default();
    format!("{sign}{}{}", HumanCount(whole), &rest[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(figures: Figures, expected: Figures) -> Summary {
        let (counts, cancelled) = (Counts::default(), Cancelled::default());
        Summary { figures, expected, counts, cancelled, elapsed: Duration::from_millis(1_500) }
    }

    #[test]
    fn the_closing_object_holds_the_figures_and_what_this_run_did_and_nothing_else() {
        let figures = Figures { orders: 3, net: -5, ..Figures::default() };
        let json: serde_json::Value = serde_json::from_str(&summary(figures, figures).json()).unwrap();
        let mut names: Vec<&str> = figures.entries().iter().map(|(name, _)| *name).collect();
        names.extend(["new_events", "replayed", "seconds"]);
        names.sort_unstable();
        let mut given: Vec<&String> = json.as_object().unwrap().keys().collect();
        given.sort_unstable();
        assert_eq!(given, names);
        assert_eq!((&json["orders"], &json["net"], &json["seconds"]), (&3.into(), &(-5).into(), &1.5.into()));
    }

    #[test]
    fn other_data_in_the_shop_is_a_note_but_another_sum_is_a_failure() {
        let expected = Figures { orders: 3, gross: 100, ..Figures::default() };
        let more = summary(Figures { orders: 4, ..expected }, expected);
        assert!(more.is_complete());
        assert!(more.remarks()[0].starts_with("note: the shop holds other data too (4 orders, 3"));
        let wrong = summary(Figures { gross: 99, ..expected }, expected);
        assert!(!wrong.is_complete());
        assert!(wrong.remarks().contains(&"  gross is 99, should be 100".to_owned()));
        assert!(summary(expected, expected).remarks().is_empty());
    }

    #[test]
    fn a_refused_command_or_a_cancelled_order_makes_the_import_incomplete() {
        let mut refused = summary(Figures::default(), Figures::default());
        refused.counts.refused_commands = 22;
        refused.counts.refusals = vec!["x: y (order_too_long)".to_owned(); 20];
        assert!(!refused.is_complete());
        assert!(refused.remarks().contains(&"  and 2 more".to_owned()));
        let mut cancelled = summary(Figures::default(), Figures::default());
        cancelled.cancelled.count = 1;
        assert!(!cancelled.is_complete());
    }

    #[test]
    fn money_is_grouped_by_thousands() {
        assert_eq!(grouped(Money::new(735_235_417, Currency::GBP)), "7,352,354.17 GBP");
        assert_eq!(grouped(Money::new(-5, Currency::GBP)), "-0.05 GBP");
    }
}
