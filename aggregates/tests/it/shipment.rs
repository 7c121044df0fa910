//! The rules of shipments.

use aggregates::ShipmentError;
use schemas::Command;
use schemas::order::GoodsLine;
use schemas::shipment::{
    CreateShipment, DeliverShipment, DispatchShipment, FailShipment, ShipmentCommand, ShipmentStatus,
    TrackShipment,
};

use crate::scenario::{chars, every_rule_refuses, given, id, units};

pub(crate) fn to_shipment(body: ShipmentCommand) -> Command {
    Command::Shipment { id: id("s1"), body }
}

pub(crate) fn create(lines: u32) -> Command {
    let goods = (1..=lines).map(|line| GoodsLine { line, sku: id("85123A"), quantity: units(2) }).collect();
    let carrier = "sandbox".to_owned();
    to_shipment(ShipmentCommand::Create(CreateShipment { order_id: id("o1"), goods, address: None, carrier }))
}

pub(crate) fn dispatch(number: &str) -> Command {
    to_shipment(ShipmentCommand::Dispatch(DispatchShipment { tracking_number: number.into() }))
}

pub(crate) fn track(code: &str) -> Command {
    let (code, place, message) = (code.to_owned(), "Hull".to_owned(), String::new());
    to_shipment(ShipmentCommand::Track(TrackShipment { code, place, message }))
}

pub(crate) fn deliver() -> Command {
    to_shipment(ShipmentCommand::Deliver(DeliverShipment { received_by: "Ann".into() }))
}

pub(crate) fn fail() -> Command {
    to_shipment(ShipmentCommand::Fail(FailShipment { code: "lost".into(), reason: String::new() }))
}

#[test]
fn every_rule_refuses_by_name() {
    let shipment_id = || id("s1");
    let unknown = || ShipmentError::NotFound { shipment_id: shipment_id() };
    let wrong = |status, wanted| ShipmentError::WrongStatus { shipment_id: shipment_id(), status, wanted };
    let delivered = || vec![create(1), dispatch("T1"), deliver()];
    let failed = || vec![create(1), fail()];
    every_rule_refuses(vec![
        (vec![], dispatch("T1"), unknown()),
        (vec![], track("in_transit"), unknown()),
        (vec![], deliver(), unknown()),
        (vec![], fail(), unknown()),
        (vec![create(1)], create(2), ShipmentError::Exists { shipment_id: shipment_id() }),
        (vec![], create(0), ShipmentError::Empty { shipment_id: shipment_id() }),
        (vec![create(1), dispatch("T1")], dispatch("T2"), wrong(ShipmentStatus::Dispatched, "dispatch")),
        (failed(), dispatch("T1"), wrong(ShipmentStatus::Failed, "dispatch")),
        (vec![create(1)], track("in_transit"), wrong(ShipmentStatus::Created, "track")),
        (delivered(), track("in_transit"), wrong(ShipmentStatus::Delivered, "track")),
        (vec![create(1)], deliver(), wrong(ShipmentStatus::Created, "deliver")),
        (failed(), deliver(), wrong(ShipmentStatus::Failed, "deliver")),
        (delivered(), fail(), wrong(ShipmentStatus::Delivered, "fail")),
        (
            vec![create(1)],
            dispatch(&chars(257)),
            ShipmentError::InvalidValue {
                field: "tracking_number",
                problem: "has 257 characters, 1 to 256 are allowed".into(),
            },
        ),
    ]);
}

#[test]
fn a_shipment_is_dispatched_tracked_and_delivered_once_however_often_the_carrier_says_so() {
    let mut before = vec![];
    for (command, event) in [
        (create(2), "shipment.created"),
        (dispatch("T1"), "shipment.dispatched"),
        (track("in_transit"), "shipment.tracked"),
        (track("out_for_delivery"), "shipment.tracked"),
        (deliver(), "shipment.delivered"),
    ] {
        given(before.clone()).when(&command).happens(&[event]);
        before.push(command.clone());
        given(before.clone()).when(&command).nothing_happens();
    }
    given(before.clone()).when(&dispatch("T1")).nothing_happens();
    let state = given(before.clone()).when(&create(2)).nothing_happens();
    let shipment = state.as_shipment().unwrap();
    assert_eq!((shipment.status(), shipment.goods().len()), (Some(ShipmentStatus::Delivered), 2));
    assert_eq!((shipment.order_id(), shipment.tracking_number()), (Some(&id("o1")), Some("T1")));
}

#[test]
fn a_failed_shipment_says_whether_the_carrier_had_it() {
    for (before, dispatched) in [(vec![create(1)], false), (vec![create(1), dispatch("T1")], true)] {
        let happened = given(before).when(&fail()).happens(&["shipment.failed"]);
        assert_eq!(happened.events[0].body_json()["dispatched"], dispatched);
    }
    given([create(1), fail()]).when(&fail()).nothing_happens();
}
