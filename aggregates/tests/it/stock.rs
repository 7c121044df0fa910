//! The rules of stock.

use aggregates::{LEVEL_MAX, StockError};
use schemas::stock::{
    AdjustStock, AdjustmentKind, ReceiveStock, ReleaseStock, ReserveStock, ReturnStock, SetLowStockThreshold,
    ShipStock, StockCommand, StockLevels,
};
use schemas::{Command, Quantity};

use crate::scenario::{chars, every_rule_refuses, given, id, units};

pub(crate) fn to_stock(body: StockCommand) -> Command {
    Command::Stock { id: id("85123A"), body }
}

pub(crate) fn receive(quantity: i64, reference: Option<&str>) -> Command {
    to_stock(StockCommand::Receive(ReceiveStock { quantity: units(quantity), reference: reference.map(id) }))
}

pub(crate) fn reserve(order: &str, line: u32, quantity: i64) -> Command {
    let quantity = units(quantity);
    to_stock(StockCommand::Reserve(ReserveStock { order_id: id(order), line, quantity }))
}

pub(crate) fn release(order: &str, line: u32) -> Command {
    to_stock(StockCommand::Release(ReleaseStock { order_id: id(order), line }))
}

pub(crate) fn ship(order: &str, line: u32, shipment: &str) -> Command {
    to_stock(StockCommand::Ship(ShipStock { order_id: id(order), line, shipment_id: id(shipment) }))
}

pub(crate) fn take_back(order: &str, line: u32, quantity: i64, reference: &str, restock: bool) -> Command {
    let (order_id, quantity, reference) = (id(order), units(quantity), id(reference));
    to_stock(StockCommand::Return(ReturnStock { order_id, line, quantity, reference, restock }))
}

pub(crate) fn adjust(delta: i64, reference: &str) -> Command {
    let (kind, reason) = (AdjustmentKind::Correction, "damages".to_owned());
    to_stock(StockCommand::Adjust(AdjustStock { delta, kind, reason, reference: id(reference) }))
}

pub(crate) fn threshold(threshold: i64) -> Command {
    to_stock(StockCommand::SetLowStockThreshold(SetLowStockThreshold { threshold }))
}

fn levels(on_hand: i64, reserved: i64) -> StockLevels {
    StockLevels { on_hand, reserved, available: on_hand - reserved }
}

#[test]
fn every_rule_refuses_by_name() {
    let sku = || id("85123A");
    let invalid = |field, problem: &str| StockError::InvalidValue { field, problem: problem.into() };
    let insufficient = |requested, available| StockError::Insufficient { sku: sku(), requested, available };
    let closed = || StockError::ReservationClosed { sku: sku(), order_id: id("o1"), line: 1 };
    let unknown = || StockError::ReservationNotFound { sku: sku(), order_id: id("o1"), line: 1 };
    let reused = || StockError::ReferenceReused { sku: sku(), reference: id("d/1") };
    let exceeds = |requested, shipped, returned| StockError::ReturnExceedsShipped {
        order_id: id("o1"),
        line: 1,
        requested,
        shipped,
        returned,
    };
    let shipped = || vec![receive(9, None), reserve("o1", 1, 3), ship("o1", 1, "s1")];
    let returned = || [shipped(), vec![take_back("o1", 1, 2, "c/1", true)]].concat();
    let full = || {
        let most = i64::from(Quantity::MAX);
        (0..LEVEL_MAX / most).map(|_| receive(most, None)).collect::<Vec<_>>()
    };
    every_rule_refuses(vec![
        (vec![receive(2, None)], reserve("o1", 1, 3), insufficient(3, 2)),
        (vec![receive(3, None), reserve("o1", 1, 2)], reserve("o1", 2, 2), insufficient(2, 1)),
        (vec![receive(3, None), reserve("o1", 1, 2)], adjust(-2, "d/1"), insufficient(2, 1)),
        (vec![], adjust(i64::MIN, "d/1"), insufficient(i64::MAX, 0)),
        (
            vec![receive(9, None), reserve("o1", 1, 2)],
            reserve("o1", 1, 3),
            StockError::ReservationExists {
                sku: sku(),
                order_id: id("o1"),
                line: 1,
                reserved: 2,
                requested: 3,
            },
        ),
        (vec![receive(9, None), release("o1", 1)], reserve("o1", 1, 3), closed()),
        (shipped(), reserve("o1", 1, 3), closed()),
        (vec![release("o1", 1)], ship("o1", 1, "s1"), closed()),
        (shipped(), ship("o1", 1, "s2"), closed()),
        (vec![], ship("o1", 1, "s1"), unknown()),
        (vec![], take_back("o1", 1, 1, "c/1", true), unknown()),
        (vec![receive(9, None), reserve("o1", 1, 3)], take_back("o1", 1, 1, "c/1", true), exceeds(1, 0, 0)),
        (returned(), take_back("o1", 1, 2, "c/2", true), exceeds(2, 3, 2)),
        (vec![receive(9, Some("d/1"))], receive(8, Some("d/1")), reused()),
        (vec![receive(9, Some("d/1"))], adjust(9, "d/1"), reused()),
        (
            returned(),
            take_back("o1", 1, 1, "c/1", true),
            StockError::ReferenceReused { sku: sku(), reference: id("c/1") },
        ),
        (full(), receive(1, None), StockError::Limit { sku: sku(), on_hand: LEVEL_MAX, limit: LEVEL_MAX }),
        (vec![], adjust(i64::MAX, "d/1"), StockError::Limit { sku: sku(), on_hand: 0, limit: LEVEL_MAX }),
        (vec![], adjust(0, "d/1"), invalid("delta", "is 0, it has to change something")),
        (vec![], threshold(-1), invalid("threshold", "is -1, 0 to 1000000000000 are allowed")),
        (vec![], reserve("o1", 0, 1), invalid("line", "is 0, lines are counted from 1")),
        (
            vec![],
            to_stock(StockCommand::Adjust(AdjustStock {
                delta: 1,
                kind: AdjustmentKind::Correction,
                reason: chars(2_001),
                reference: id("d/1"),
            })),
            invalid("reason", "has 2001 characters, 0 to 2000 are allowed"),
        ),
    ]);
}

#[test]
fn stock_goes_from_received_over_reserved_to_shipped_and_comes_back() {
    let mut before = vec![];
    for (command, event, expected) in [
        (receive(10, Some("d/1")), "stock.received", levels(10, 0)),
        (reserve("o1", 1, 4), "stock.reserved", levels(10, 4)),
        (reserve("o1", 2, 3), "stock.reserved", levels(10, 7)),
        (release("o1", 2), "stock.released", levels(10, 4)),
        (ship("o1", 1, "s1"), "stock.shipped", levels(6, 0)),
        (take_back("o1", 1, 1, "c/1", true), "stock.returned", levels(7, 0)),
        (take_back("o1", 1, 2, "c/2", false), "stock.returned", levels(7, 0)),
        (adjust(-7, "a/1"), "stock.adjusted", levels(0, 0)),
    ] {
        let happened = given(before.clone()).when(&command).happens(&[event]);
        assert_eq!(happened.state.as_stock().unwrap().levels(), expected, "{command:?}");
        before.push(command);
    }
    // Long after, everything is said again: nothing happens.
    for again in &before {
        if matches!(again, Command::Stock { body: StockCommand::Reserve(_), .. }) {
            continue;
        }
        given(before.clone()).when(again).nothing_happens();
    }
}

#[test]
fn two_lines_of_one_order_that_share_an_item_are_two_reservations() {
    let state = given([receive(5, None), reserve("o1", 1, 2)])
        .when(&reserve("o1", 2, 3))
        .happens(&["stock.reserved"])
        .state;
    let open: Vec<_> =
        state.as_stock().unwrap().open_reservations().map(|(_, line, q)| (line, q.get())).collect();
    assert_eq!(open, [(1, 2), (2, 3)]);
}

#[test]
fn releasing_what_was_never_reserved_closes_the_line_and_frees_nothing() {
    let happened = given([receive(5, None)]).when(&release("o1", 1)).happens(&["stock.released"]);
    assert_eq!(happened.events[0].body_json()["quantity"], 0);
    assert_eq!(happened.state.as_stock().unwrap().levels(), levels(5, 0));
}

#[test]
fn releasing_what_has_left_the_house_changes_nothing() {
    let before = [receive(5, None), reserve("o1", 1, 2), ship("o1", 1, "s1")];
    given(before).when(&release("o1", 1)).nothing_happens();
}

#[test]
fn the_low_stock_alert_sounds_once_on_the_way_down_and_once_on_recovery() {
    let reached = "stock.low_stock_reached";
    let recovered = "stock.low_stock_recovered";
    let set = "stock.low_stock_threshold_set";
    let mut before = vec![];
    for (command, expected) in [
        (receive(10, None), vec!["stock.received"]),
        (threshold(5), vec![set]),
        (reserve("o1", 1, 5), vec!["stock.reserved"]),
        (reserve("o2", 1, 1), vec!["stock.reserved", reached]),
        (reserve("o3", 1, 1), vec!["stock.reserved"]),
        (release("o3", 1), vec!["stock.released"]),
        (release("o2", 1), vec!["stock.released", recovered]),
        (threshold(6), vec![set, reached]),
        (threshold(0), vec![set, recovered]),
        (reserve("o4", 1, 5), vec!["stock.reserved"]),
    ] {
        given(before.clone()).when(&command).happens(&expected);
        before.push(command);
    }
}
