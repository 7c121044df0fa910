//! A stored state is read back only by the shape that wrote it.

use std::fmt::Write;

use aggregates::{STATE_SHAPE, State};
use schemas::{AggregateType, Command};

use crate::scenario::{decide, gbp};
use crate::{cart, customer, order, payment, product, shipment, stock};

/// The shape that the bytes below are of.
const PINNED_SHAPE: u32 = 1;

fn sample(aggregate_type: AggregateType) -> Vec<Command> {
    match aggregate_type {
        AggregateType::Product => vec![product::draft(), product::price(gbp(255)), product::publish()],
        AggregateType::Stock => vec![
            stock::receive(9, Some("d/1")),
            stock::reserve("o1", 1, 3),
            stock::reserve("o2", 1, 1),
            stock::ship("o1", 1, "s1"),
            stock::take_back("o1", 1, 1, "c/1", true),
            stock::release("o3", 1),
            stock::adjust(-2, "a/1"),
            stock::threshold(5),
        ],
        AggregateType::Cart => vec![
            cart::open(Some("u1")),
            cart::add("A", 2, gbp(100)),
            cart::check_out("o1", vec![cart::quote("A", Some(gbp(90)), 9)]),
        ],
        AggregateType::Order => vec![
            order::place_goods(),
            order::mark_reserved(),
            order::confirm(),
            order::mark_shipped("s1"),
            order::mark_delivered(),
            order::take_back("C1/1", 1, 2, gbp(200)),
        ],
        AggregateType::Payment => vec![
            payment::request(gbp(100)),
            payment::authorised(gbp(100)),
            payment::capture("k/1", Some(gbp(60))),
            payment::captured("k/1"),
            payment::void(),
            payment::voided("v1"),
            payment::refund("f/1", gbp(20)),
        ],
        AggregateType::Customer => vec![
            customer::register(),
            customer::put_address("home", "Hull"),
            customer::consent("newsletter", true),
            customer::tag("vip"),
            customer::credit("C1/1", gbp(-5)),
        ],
        AggregateType::Shipment => {
            vec![shipment::create(1), shipment::dispatch("T1"), shipment::track("in_transit")]
        }
    }
}

/// The sample states in postcard, as hex.
const PINNED: &[(AggregateType, &str)] = &[
    (AggregateType::Product, "000206486f6c6465720000000001000103474250fe0303474250"),
    (
        AggregateType::Stock,
        "010a02080a0103026f3101020602733102026f32010002026f3301010303612f3102030003632f3101026f3101020103642f310012",
    ),
    (
        AggregateType::Cart,
        "02010263310102753103474250037765620102753101014104b4010347425001014100c8010347425001b40103474250041200",
    ),
    (
        AggregateType::Order,
        "0301026f31010531373835300003776562024742034742500201063835313233410006486f6c64657206c801034742501403474250000a03474250c4040347425002063835313233410106486f6c64657202c801034742501403474250000a03474250b40103474250f805034742501403474250000463617264030101027331000101049003010443312f310104900301",
    ),
    (
        AggregateType::Payment,
        "040201026f31026f3100c8010347425004636172640461757468c801785000000203662f31012800036b2f31007801000102763100",
    ),
    (
        AggregateType::Customer,
        "050103416e6e010d61406578616d706c652e6f72670000000104686f6d6503416e6e00000448756c6c00010a6e6577736c65747465720104666f726d0103766970010443312f3109034742500000010903474250",
    ),
    (
        AggregateType::Shipment,
        "0601027331026f3101010638353132334104000773616e64626f78010102543101027331026f310a696e5f7472616e7369740448756c6c00",
    ),
];

#[test]
fn a_changed_shape_of_a_state_has_a_new_number() {
    let mut now = String::new();
    for aggregate_type in AggregateType::ALL {
        let mut state = State::new(aggregate_type);
        for command in sample(aggregate_type) {
            decide(&mut state, &command).unwrap();
        }
        let bytes = postcard::to_stdvec(&state).unwrap();
        let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        writeln!(now, "    (AggregateType::{aggregate_type:?}, \"{hex}\"),").unwrap();
    }
    let mut pinned = String::new();
    for (aggregate_type, hex) in PINNED {
        writeln!(pinned, "    (AggregateType::{aggregate_type:?}, \"{hex}\"),").unwrap();
    }
    assert!(
        now == pinned && STATE_SHAPE == PINNED_SHAPE,
        "a state serialises otherwise than before: raise aggregates::STATE_SHAPE (it is {STATE_SHAPE}) and pin the new \
         shape's number and bytes here:\n{now}"
    );
}
