//! Promise 5, the money's part: authorised = captured + voided + open, refunds never exceed captures, accounts add up.

use std::collections::{HashMap, HashSet};

use schemas::customer::CustomerEvent;
use schemas::payment::{PaymentBalance, PaymentEvent};
use schemas::{CustomerId, OrderId, Position, Reference};

use super::report::Report;

/// One payment, folded without the help of the aggregate.
#[derive(Default)]
pub(crate) struct PaymentFold {
    pub(crate) balance: PaymentBalance,
    captures: HashSet<Reference>,
    refunds: HashSet<Reference>,
    declined: bool,
}

/// Follows payments and customers' accounts.
#[derive(Default)]
pub(crate) struct MoneyChecks {
    /// By order: the payment of an order has the order's id.
    payments: HashMap<OrderId, PaymentFold>,
    accounts: HashMap<CustomerId, i64>,
}

impl MoneyChecks {
    pub(crate) fn payment(&mut self, event: &PaymentEvent, position: &Position, report: &mut Report) {
        let (order, said) = match event {
            PaymentEvent::Requested(e) => (&e.order_id, None),
            PaymentEvent::Authorised(e) => (&e.order_id, Some(e.balance)),
            PaymentEvent::Declined(e) => (&e.order_id, None),
            PaymentEvent::CaptureRequested(e) => (&e.order_id, None),
            PaymentEvent::Captured(e) => (&e.order_id, Some(e.balance)),
            PaymentEvent::CaptureFailed(e) => (&e.order_id, None),
            PaymentEvent::VoidRequested(e) => (&e.order_id, None),
            PaymentEvent::Voided(e) => (&e.order_id, Some(e.balance)),
            PaymentEvent::RefundRequested(e) => (&e.order_id, None),
            PaymentEvent::Refunded(e) => (&e.order_id, Some(e.balance)),
            PaymentEvent::RefundFailed(e) => (&e.order_id, None),
            PaymentEvent::Unwound(e) => (&e.order_id, None),
        };
        let fold = self.payments.entry(order.clone()).or_default();
        if let Err(problem) = fold.apply(event) {
            report.violation(|| format!("{position}: payment of order {order}: {problem}"));
        }
        let PaymentBalance { authorised, captured, voided, open, refunded } = fold.balance;
        if authorised != captured + voided + open || open < 0 || refunded > captured || refunded < 0 {
            report.violation(|| {
                format!(
                    "{position}: payment of order {order}: authorised {authorised}, captured {captured}, voided {voided}, \
                     open {open}, refunded {refunded} do not add up"
                )
            });
        }
        if let Some(said) = said.filter(|said| *said != fold.balance) {
            report.violation(|| {
                format!(
                    "{position}: payment of order {order}: the balance says {said:?}, the ledger {:?}",
                    fold.balance
                )
            });
        }
    }

    pub(crate) fn customer(&mut self, event: &CustomerEvent, position: &Position, report: &mut Report) {
        let CustomerEvent::Credited(e) = event else { return };
        let balance = self.accounts.entry(e.customer_id.clone()).or_default();
        *balance += e.amount.amount_minor;
        if *balance != e.balance.amount_minor {
            report.violation(|| {
                format!(
                    "{position}: account of {}: says {}, the credits {balance}",
                    e.customer_id, e.balance.amount_minor
                )
            });
        }
    }

    /// The payment of an order, if it has one.
    pub(crate) fn payment_of(&self, order: &OrderId) -> Option<&PaymentFold> {
        self.payments.get(order)
    }

    pub(crate) fn finish(&self, report: &mut Report) {
        report.payments = self.payments.len() as u64;
        for fold in self.payments.values() {
            report.authorised += fold.balance.authorised;
            report.captured += fold.balance.captured;
            report.voided += fold.balance.voided;
            report.refunded += fold.balance.refunded;
        }
    }
}

impl PaymentFold {
    fn apply(&mut self, event: &PaymentEvent) -> Result<(), String> {
        let balance = &mut self.balance;
        match event {
            PaymentEvent::Authorised(e) => {
                if self.declined || balance.authorised > 0 {
                    return Err("is authorised after its decision".to_owned());
                }
                balance.authorised += e.amount.amount_minor;
                balance.open += e.amount.amount_minor;
            }
            PaymentEvent::Declined(_) => {
                if balance.authorised > 0 {
                    return Err("is declined after it was authorised".to_owned());
                }
                self.declined = true;
            }
            PaymentEvent::Captured(e) => {
                balance.captured += e.amount.amount_minor;
                balance.open -= e.amount.amount_minor;
                if !self.captures.insert(e.reference.clone()) {
                    return Err(format!("capture {} is taken twice", e.reference));
                }
            }
            PaymentEvent::Voided(e) => {
                balance.voided += e.amount.amount_minor;
                balance.open -= e.amount.amount_minor;
            }
            PaymentEvent::Refunded(e) => {
                balance.refunded += e.amount.amount_minor;
                if !self.refunds.insert(e.reference.clone()) {
                    return Err(format!("refund {} is paid twice", e.reference));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
