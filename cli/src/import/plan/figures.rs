//! What a shop that holds nothing else must report after the import.

use schemas::customer::CreditKind;
use schemas::order::LineKind;

use super::Plan;
use crate::import::figures::Figures;

impl Plan {
    /// The figures that this plan comes to.
    pub(in crate::import) fn figures(&self) -> Figures {
        let lines = || self.orders.iter().flat_map(|order| &order.lines);
        let left: i64 =
            lines().filter(|line| line.kind == LineKind::Goods).map(|line| line.quantity.get()).sum();
        let returned: i64 = self.returns.iter().map(|part| part.quantity.get()).sum();
        let adjusted: i64 = self.corrections.iter().chain(&self.adjustments).map(|change| change.delta).sum();
        let opening_units: i64 = self.products.iter().map(|product| product.opening_units).sum();
        let gross: i64 = lines().map(|line| line.quantity.get() * line.price_minor).sum();
        let refunds: i64 = self.returns.iter().map(|part| part.refund_minor).sum();
        let credits: i64 = self.credits.iter().map(|credit| credit.amount_minor).sum();
        let return_references = self
            .returns
            .iter()
            .map(|part| &part.reference)
            .chain(self.adjustments.iter().map(|rest| &rest.reference));
        Figures {
            orders: count(self.orders.iter()),
            guest_orders: count(self.orders.iter().filter(|order| order.customer.is_none())),
            order_lines: count(lines()),
            customers: count(self.customers.iter().filter(|customer| customer.orders > 0)),
            skus: count(self.products.iter()),
            correction_lines: count(self.corrections.iter()),
            return_rows: count(return_references.filter(|reference| reference.is_first_part())),
            credit_rows: count(self.credits.iter().filter(|credit| credit.kind == CreditKind::Note)),
            gross,
            refunds,
            credits,
            net: gross - refunds - credits,
            opening_units,
            on_hand_units: opening_units - left + returned + adjusted,
        }
    }
}

fn count(things: impl Iterator) -> i64 {
    i64::try_from(things.count()).expect("what is in memory can be counted")
}
