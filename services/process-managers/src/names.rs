//! Names that follow from an order: its shipment, its capture, its cancellation.
//!
//! Ids and references have at most 128 bytes. Where an order's id leaves no room for the suffix, a name derived from it
//! takes its place: the same order always has the same names.

use schemas::{CommandId, EventId, OrderId, Reference, ShipmentId};

/// The order's shipment: `<order>-1`.
pub fn shipment_id(order_id: &OrderId) -> ShipmentId {
    ShipmentId::new(format!("{order_id}-1"))
        .unwrap_or_else(|_| ShipmentId::new(short(order_id, "shipment")).expect("32 hex digits are an id"))
}

/// The order's capture: `<order>/1`.
pub fn capture_reference(order_id: &OrderId) -> Reference {
    reference(order_id.as_str(), order_id, 1)
}

/// The return of a line of a cancelled order: `<order>-cancel/<line>`.
pub(crate) fn cancel_reference(order_id: &OrderId, line: u32) -> Reference {
    reference(&format!("{order_id}-cancel"), order_id, line)
}

/// What the references of repeated refunds begin with.
const REPEATED_REFUND: &str = "again-";

/// The refund that takes the place of one that failed with this event.
pub(crate) fn repeated_refund_reference(failure: &EventId) -> Reference {
    let document =
        format!("{REPEATED_REFUND}{}", CommandId::from_event(failure, "refund-again").derived_id());
    Reference::row(&document, 1).expect("letters, a dash, 32 hex digits and row 1 are a reference")
}

/// Whether a refund took the place of one that failed.
pub(crate) fn is_repeated_refund(reference: &Reference) -> bool {
    reference.as_str().starts_with(REPEATED_REFUND)
}

fn reference(document: &str, order_id: &OrderId, row: u32) -> Reference {
    let row = row.max(1);
    Reference::row(document, row).unwrap_or_else(|_| {
        Reference::row(&short(order_id, "reference"), row)
            .expect("32 hex digits and a row from 1 are a reference")
    })
}

fn short(order_id: &OrderId, what: &str) -> String {
    CommandId::from_event(&EventId::from_text(order_id.as_str()), what).derived_id()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_has_names_however_long_its_id() {
        let order = OrderId::new("536365").unwrap();
        assert_eq!(shipment_id(&order).as_str(), "536365-1");
        assert_eq!(capture_reference(&order).as_str(), "536365/1");
        assert_eq!(cancel_reference(&order, 7).as_str(), "536365-cancel/7");
        for length in [126, 127, 128] {
            let order = OrderId::new("x".repeat(length)).unwrap();
            let other = OrderId::new("y".repeat(length)).unwrap();
            assert_eq!(shipment_id(&order), shipment_id(&order));
            assert_ne!(shipment_id(&order), shipment_id(&other));
            assert_ne!(cancel_reference(&order, 1), cancel_reference(&order, 2));
            assert_ne!(capture_reference(&order), capture_reference(&other));
        }
    }
}
