//! Who may send which command.
//!
//! Until there are accounts there are three kinds of principal: process managers (`process:…`), importers (configured),
//! and everybody else, who may do what a shop's buyers and staff do. Facts that only a process manager can know (the
//! provider has authorised, the stock is held) are its to state; prices and past times are an importer's.

use schemas::cart::CartCommand;
use schemas::order::{CancelReason, OrderCommand};
use schemas::payment::PaymentCommand;
use schemas::shipment::ShipmentCommand;
use schemas::stock::StockCommand;
use schemas::{Command, ErrorCode, Principal};
use service_kit::Problem;

use crate::app::Api;

/// What it takes to send a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nobody,
    /// A process manager.
    Process,
    /// Somebody who may state prices: an importer or a process manager.
    StatingPrices,
}

impl Api {
    /// Whether the principal may state prices and past times.
    pub(crate) fn may_import(&self, principal: &Principal) -> bool {
        self.import_principals.contains(principal)
    }

    /// Refuses a command as stated that its sender may not send.
    pub(crate) fn check_may_send(&self, principal: &Principal, command: &Command) -> Result<(), Problem> {
        let allowed = match needs(command) {
            Needs::Nobody => true,
            Needs::Process => is_process(principal),
            Needs::StatingPrices => is_process(principal) || self.may_import(principal),
        };
        if allowed {
            return Ok(());
        }
        Err(forbidden(match needs(command) {
            Needs::Process => format!("only a process manager may send this command, not {principal}"),
            _ => format!("stating prices needs the import permission, which {principal} has not"),
        }))
    }

    /// Refuses a past time from somebody who may not state one.
    pub(crate) fn check_may_backdate(&self, principal: &Principal) -> Result<(), Problem> {
        if is_process(principal) || self.may_import(principal) {
            return Ok(());
        }
        Err(forbidden(format!("stating occurred_at needs the import permission, which {principal} has not")))
    }
}

/// The refusal itself.
pub(crate) fn forbidden(detail: impl Into<String>) -> Problem {
    Problem::of(ErrorCode::Forbidden).detail(detail)
}

fn is_process(principal: &Principal) -> bool {
    principal.as_str().strip_prefix("process:").is_some_and(|name| !name.is_empty())
}

fn needs(command: &Command) -> Needs {
    match command {
        Command::Order { body, .. } => match body {
            OrderCommand::Place(_) => Needs::StatingPrices,
            OrderCommand::Cancel(cancel) => match cancel.reason {
                CancelReason::CustomerRequest | CancelReason::StaffDecision => Needs::Nobody,
                CancelReason::OutOfStock
                | CancelReason::PaymentDeclined
                | CancelReason::PaymentExpired
                | CancelReason::ReservationExpired
                | CancelReason::ShipmentFailed => Needs::Process,
            },
            OrderCommand::Return(_) => Needs::Nobody,
            OrderCommand::MarkReserved(_)
            | OrderCommand::Confirm(_)
            | OrderCommand::MarkShipped(_)
            | OrderCommand::MarkDelivered(_) => Needs::Process,
        },
        Command::Payment { body, .. } => match body {
            PaymentCommand::RequestCapture(_)
            | PaymentCommand::RequestVoid(_)
            | PaymentCommand::RequestRefund(_) => Needs::Nobody,
            PaymentCommand::Request(_)
            | PaymentCommand::RecordAuthorised(_)
            | PaymentCommand::RecordDeclined(_)
            | PaymentCommand::RecordCaptured(_)
            | PaymentCommand::RecordCaptureFailed(_)
            | PaymentCommand::RecordVoided(_)
            | PaymentCommand::RecordRefunded(_)
            | PaymentCommand::RecordRefundFailed(_)
            | PaymentCommand::Unwind(_) => Needs::Process,
        },
        Command::Stock { body, .. } => match body {
            StockCommand::Receive(_) | StockCommand::Adjust(_) | StockCommand::SetLowStockThreshold(_) => {
                Needs::Nobody
            }
            StockCommand::Reserve(_)
            | StockCommand::Release(_)
            | StockCommand::Ship(_)
            | StockCommand::Return(_) => Needs::Process,
        },
        Command::Shipment { body, .. } => match body {
            ShipmentCommand::Create(_) | ShipmentCommand::Dispatch(_) => Needs::Process,
            ShipmentCommand::Track(_) | ShipmentCommand::Deliver(_) | ShipmentCommand::Fail(_) => {
                Needs::Nobody
            }
        },
        // A checkout states what things cost now.
        Command::Cart { body: CartCommand::CheckOut(_), .. } => Needs::StatingPrices,
        Command::Cart { .. } | Command::Product { .. } | Command::Customer { .. } => Needs::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_manager_has_a_name() {
        let is = |name: &str| is_process(&Principal::new(name).unwrap());
        assert!(is("process:checkout"));
        assert!(!is("process:") && !is("process") && !is("importer") && !is("xprocess:checkout"));
    }
}
