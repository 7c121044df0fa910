//! Laws that hold after any commands in any order.

use aggregates::State;
use proptest::prelude::*;
use schemas::order::{CancelReason, LineKind, OrderStatus};
use schemas::payment::PaymentEvent;
use schemas::stock::{StockCommand, StockEvent};
use schemas::{AggregateType, Command, Event};

use crate::scenario::{decide, gbp, units};
use crate::{cart, customer, order, payment, product, shipment, stock};

/// Decides one command after the other, calling `check` with the state, the command and what it led to; and again at
/// once: a command that was accepted wants what now is, so its repetition does nothing, unless it says otherwise.
fn run(
    commands: &[Command],
    may_do_more: impl Fn(&Command) -> bool,
    mut check: impl FnMut(&State, &[Event]),
) -> State {
    let Some(first) = commands.first() else { return State::new(AggregateType::Stock) };
    let mut state = State::new(first.stream().aggregate_type());
    let mut log = Vec::new();
    for command in commands {
        let Ok(events) = decide(&mut state, command) else { continue };
        check(&state, &events);
        log.extend(events);
        if !may_do_more(command) {
            assert_eq!(decide(&mut state.clone(), command), Ok(vec![]), "repeated: {command:?}");
        }
    }
    let mut folded = State::new(first.stream().aggregate_type());
    log.iter().for_each(|event| folded.apply(event).unwrap());
    assert_eq!(folded, state, "the live state is not the fold of all events");
    state
}

fn never(_: &Command) -> bool {
    false
}

fn pick<const N: usize>(names: [&'static str; N]) -> impl Strategy<Value = &'static str> {
    (0..N).prop_map(move |at| names[at])
}

fn stock_command() -> impl Strategy<Value = Command> {
    let order = || pick(["o1", "o2", "o3"]);
    let reference = || pick(["r/1", "r/2", "r/3", "r/4", "r/5", "r/6"]);
    prop_oneof![
        3 => (1..20i64, prop::option::of(reference())).prop_map(|(q, r)| stock::receive(q, r)),
        5 => (order(), 1..4u32, 1..6i64).prop_map(|(o, l, q)| stock::reserve(o, l, q)),
        2 => (order(), 1..4u32).prop_map(|(o, l)| stock::release(o, l)),
        3 => (order(), 1..4u32, pick(["s1", "s2"])).prop_map(|(o, l, s)| stock::ship(o, l, s)),
        3 => (order(), 1..4u32, 1..4i64, reference(), any::<bool>())
            .prop_map(|(o, l, q, r, restock)| stock::take_back(o, l, q, r, restock)),
        2 => (-9..9i64, reference()).prop_map(|(delta, r)| stock::adjust(delta, r)),
        1 => (0..12i64).prop_map(stock::threshold),
    ]
}

fn order_command() -> impl Strategy<Value = Command> {
    use CancelReason::{CustomerRequest, PaymentExpired, ShipmentFailed};
    prop_oneof![
        3 => any::<bool>().prop_map(|goods| if goods { order::place_goods() } else { order::place_service() }),
        3 => Just(order::mark_reserved()),
        3 => Just(order::confirm()),
        3 => pick(["s1", "s2"]).prop_map(order::mark_shipped),
        3 => Just(order::mark_delivered()),
        1 => prop::sample::select(vec![CustomerRequest, PaymentExpired, ShipmentFailed]).prop_map(order::cancel),
        5 => (pick(["c/1", "c/2", "c/3", "c/4"]), 1..3u32, 1..3i64, 0..150i64)
            .prop_map(|(r, line, q, refund)| order::take_back(r, line, q, gbp(refund))),
    ]
}

fn payment_command() -> impl Strategy<Value = Command> {
    let reference = || pick(["m/1", "m/2", "m/3", "m/4", "unwind/1", "unwind/2"]);
    prop_oneof![
        2 => Just(payment::request(gbp(100))),
        2 => (1..110i64).prop_map(|amount| payment::authorised(gbp(amount))),
        1 => Just(payment::declined()),
        4 => (reference(), prop::option::of(0..60i64)).prop_map(|(r, a)| payment::capture(r, a.map(gbp))),
        4 => reference().prop_map(payment::captured),
        2 => reference().prop_map(payment::capture_failed),
        1 => Just(payment::void()),
        2 => pick(["v1", "v2"]).prop_map(payment::voided),
        4 => (reference(), 0..60i64).prop_map(|(r, a)| payment::refund(r, gbp(a))),
        4 => reference().prop_map(payment::refunded),
        2 => reference().prop_map(payment::refund_failed),
        1 => Just(payment::unwind()),
    ]
}

/// Any commands, half of the time after the given ones, so that the late stages of a life are reached often.
fn perhaps_after(
    first: Vec<Command>,
    commands: impl Strategy<Value = Command>,
) -> impl Strategy<Value = Vec<Command>> {
    (any::<bool>(), prop::collection::vec(commands, 1..60)).prop_map(move |(prepared, commands)| {
        if prepared { [first.clone(), commands].concat() } else { commands }
    })
}

fn order_commands() -> impl Strategy<Value = Vec<Command>> {
    let delivered = vec![
        order::place_goods(),
        order::mark_reserved(),
        order::confirm(),
        order::mark_shipped("s1"),
        order::mark_delivered(),
    ];
    perhaps_after(delivered, order_command())
}

fn payment_commands() -> impl Strategy<Value = Vec<Command>> {
    let captured = vec![
        payment::request(gbp(100)),
        payment::authorised(gbp(100)),
        payment::capture("m/1", Some(gbp(50))),
        payment::captured("m/1"),
    ];
    perhaps_after(captured, payment_command())
}

fn cart_command() -> impl Strategy<Value = Command> {
    let sku = || pick(["A", "B", "C"]);
    let quote = |sku| {
        (prop::option::weighted(0.8, 8..11i64), 0..9i64)
            .prop_map(move |(price, available)| cart::quote(sku, price.map(gbp), available))
    };
    prop_oneof![
        2 => prop::option::of(Just("u1")).prop_map(cart::open),
        5 => (sku(), 1..5i64, 8..11i64).prop_map(|(s, q, p)| cart::add(s, q, gbp(p))),
        2 => (sku(), 1..5i64).prop_map(|(s, q)| cart::change(s, q)),
        1 => sku().prop_map(cart::remove),
        1 => pick(["u1", "u2"]).prop_map(cart::claim),
        2 => (pick(["o1", "o2"]), quote("A"), quote("B"), quote("C"))
            .prop_map(|(o, a, b, c)| cart::check_out(o, vec![a, b, c])),
    ]
}

fn other_command() -> impl Strategy<Value = Vec<Command>> {
    let product = prop_oneof![
        Just(product::draft()),
        pick(["Holder", "Lantern"]).prop_map(|name| product::describe(product::described(name))),
        (0..3i64).prop_map(|price| product::price(gbp(price))),
        Just(product::publish()),
        Just(product::retire()),
    ];
    let customer = prop_oneof![
        Just(customer::register()),
        pick(["Ann", "Bob"]).prop_map(customer::change_profile),
        (pick(["a", "b"]), pick(["Hull", "York"])).prop_map(|(id, city)| customer::put_address(id, city)),
        pick(["a", "b"]).prop_map(customer::remove_address),
        (pick(["news", "ads"]), any::<bool>())
            .prop_map(|(purpose, granted)| customer::consent(purpose, granted)),
        pick(["vip", "new"]).prop_map(customer::tag),
        pick(["vip", "new"]).prop_map(customer::untag),
        (pick(["C1/1", "C1/2", "C2"]), -5..5i64).prop_map(|(r, amount)| customer::credit(r, gbp(amount))),
    ];
    let shipment = prop_oneof![
        (1..3u32).prop_map(shipment::create),
        pick(["T1", "T2"]).prop_map(shipment::dispatch),
        pick(["in_transit", "held"]).prop_map(shipment::track),
        Just(shipment::deliver()),
        Just(shipment::fail()),
    ];
    let some = 1..40;
    prop_oneof![
        prop::collection::vec(product, some.clone()),
        prop::collection::vec(customer, some.clone()),
        prop::collection::vec(shipment, some),
    ]
}

proptest! {
    #[test]
    fn stock_levels_add_up_and_are_never_negative(commands in prop::collection::vec(stock_command(), 1..80)) {
        let without_reference = |command: &Command| match command {
            Command::Stock { body: StockCommand::Receive(receive), .. } => receive.reference.is_none(),
            _ => false,
        };
        let mut low = false;
        run(&commands, without_reference, |state, events| {
            let stock = state.as_stock().unwrap();
            let levels = stock.levels();
            assert_eq!(levels.reserved + levels.available, levels.on_hand);
            assert!(levels.reserved >= 0 && levels.available >= 0);
            let promised: i64 = stock.open_reservations().map(|(_, _, quantity)| quantity.get()).sum();
            assert_eq!(levels.reserved, promised);
            for event in events {
                match event {
                    Event::Stock(StockEvent::LowStockReached(_)) => assert!(!std::mem::replace(&mut low, true)),
                    Event::Stock(StockEvent::LowStockRecovered(_)) => assert!(std::mem::replace(&mut low, false)),
                    _ => {}
                }
            }
            assert_eq!(low, levels.available < stock.low_stock_threshold());
            assert_eq!(low, stock.is_low());
        });
    }

    #[test]
    fn n_buyers_racing_for_m_units_m_win(buyers in 1..60u32, units in 1..60i64) {
        let mut state = State::new(AggregateType::Stock);
        decide(&mut state, &stock::receive(units, None)).unwrap();
        let won = (1..=buyers).filter(|buyer| decide(&mut state, &stock::reserve("o1", *buyer, 1)).is_ok()).count();
        prop_assert_eq!(won as i64, units.min(buyers.into()));
        prop_assert_eq!(state.as_stock().unwrap().levels().reserved, won as i64);
    }

    #[test]
    fn an_order_ends_once_and_gives_back_at_most_what_it_took(commands in order_commands()) {
        let mut ended = 0;
        let state = run(&commands, never, |state, events| {
            let order = state.as_order().unwrap();
            ended += events
                .iter()
                .filter(|e| matches!(e.ce_type(), "millrace.order.delivered.v1" | "millrace.order.cancelled.v1"))
                .count();
            let is_final = matches!(order.status(), Some(OrderStatus::Delivered | OrderStatus::Cancelled));
            assert_eq!(ended, usize::from(is_final));
            for line in order.lines() {
                assert!(order.returned_quantity(line.line) <= line.quantity.get());
            }
            let total = order.placed().unwrap().total.amount_minor;
            assert!((0..=total).contains(&order.refunded_minor()));
        });
        prop_assert_eq!(state.aggregate_type(), AggregateType::Order);
    }

    #[test]
    fn the_ledger_adds_up_after_every_step(commands in payment_commands()) {
        let (mut authorised, mut captured, mut voided, mut refunded) = (0, 0, 0, 0);
        run(&commands, never, |state, events| {
            for event in events {
                let Event::Payment(event) = event else { unreachable!() };
                match event {
                    PaymentEvent::Authorised(e) => authorised += e.amount.amount_minor,
                    PaymentEvent::Captured(e) => captured += e.amount.amount_minor,
                    PaymentEvent::Voided(e) => voided += e.amount.amount_minor,
                    PaymentEvent::Refunded(e) => refunded += e.amount.amount_minor,
                    _ => {}
                }
            }
            let payment = state.as_payment().unwrap();
            let balance = payment.balance();
            assert_eq!(
                (balance.authorised, balance.captured, balance.voided, balance.refunded),
                (authorised, captured, voided, refunded)
            );
            assert_eq!(balance.authorised, balance.captured + balance.voided + balance.open);
            assert!(payment.pending_captures() + payment.pending_void() <= balance.open);
            assert!(balance.refunded + payment.pending_refunds() <= balance.captured);
        });
    }

    #[test]
    fn late_duplicate_and_reordered_answers_change_no_final_balance(
        amounts in prop::collection::vec((1..50i64, any::<bool>()), 1..5),
        with_void in any::<bool>(),
        unwind_after in prop::option::of(0..8usize),
        order_of_answers in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let final_balance = |order_of_answers: &[prop::sample::Index]| {
            let mut provider = Provider::new(&amounts, with_void);
            for (step, at) in order_of_answers.iter().enumerate() {
                if unwind_after == Some(step) {
                    provider.ask(payment::unwind());
                }
                provider.answer(at.index(provider.questions.len()));
            }
            if unwind_after.is_some() {
                provider.ask(payment::unwind());
            }
            // In the end every question is answered, the follow-ups too.
            let mut at = 0;
            while at < provider.questions.len() {
                provider.answer(at);
                at += 1;
            }
            let payment = provider.state.as_payment().unwrap();
            assert_eq!((payment.pending_captures(), payment.pending_void(), payment.pending_refunds()), (0, 0, 0));
            if unwind_after.is_some() {
                assert_eq!((payment.balance().open, payment.balance().refunded), (0, payment.balance().captured));
            }
            payment.balance()
        };
        prop_assert_eq!(final_balance(&order_of_answers), final_balance(&[]));
    }

    #[test]
    fn a_cart_is_the_fold_of_its_events_and_has_one_line_an_item(
        commands in prop::collection::vec(cart_command(), 1..60)
    ) {
        use schemas::cart::CartCommand::{Add, CheckOut, Remove};
        let does_more = |command: &Command| {
            matches!(command, Command::Cart { body: Add(_) | CheckOut(_) | Remove(_), .. })
        };
        run(&commands, does_more, |state, _| {
            let mut skus: Vec<_> = state.as_cart().unwrap().lines().map(|line| line.sku.clone()).collect();
            skus.sort();
            let lines = skus.len();
            skus.dedup();
            assert_eq!(skus.len(), lines);
        });
    }

    #[test]
    fn products_customers_and_shipments_are_the_fold_of_their_events(commands in other_command()) {
        use schemas::customer::CustomerCommand::RemoveAddress;
        let does_more = |command: &Command| {
            matches!(command, Command::Customer { body: RemoveAddress(_), .. })
        };
        run(&commands, does_more, |_, _| {});
    }

    #[test]
    fn a_placed_total_is_what_its_lines_add_up_to(quantities in prop::collection::vec(1..100i64, 1..50)) {
        let lines = (1..).zip(&quantities).map(|(n, q)| order::line(n, LineKind::Goods, *q)).collect();
        let state = run(&[order::place(lines)], never, |_, _| {});
        let expected: i64 = quantities.iter().map(|q| units(*q).get() * 100 - 10).sum();
        prop_assert_eq!(state.as_order().unwrap().placed().unwrap().total, gbp(expected));
    }
}

/// A payment provider that keeps every question it was asked, with the answer it gives, as often as it is made to.
struct Provider {
    state: State,
    /// The answers, in the order of the questions.
    questions: Vec<Command>,
    /// Which captures succeed, by reference.
    amounts: Vec<(i64, bool)>,
    voids: u32,
}

impl Provider {
    /// An authorisation of 100 pounds, captures of the given amounts asked for, perhaps a void of the rest.
    fn new(amounts: &[(i64, bool)], with_void: bool) -> Self {
        let state = State::new(AggregateType::Payment);
        let mut provider = Self { state, questions: Vec::new(), amounts: amounts.to_vec(), voids: 0 };
        provider.ask(payment::request(gbp(10_000)));
        provider.answer(0);
        for (at, (amount, _)) in amounts.iter().enumerate() {
            provider.ask(payment::capture(&format!("k/{}", at + 1), Some(gbp(*amount))));
        }
        if with_void {
            provider.ask(payment::void());
        }
        provider
    }

    /// Sends a command to the payment, and keeps the questions that it leads to.
    fn ask(&mut self, command: Command) {
        for event in decide(&mut self.state, &command).unwrap() {
            let Event::Payment(event) = event else { unreachable!() };
            self.questions.push(match event {
                PaymentEvent::Requested(e) => payment::authorised(e.amount),
                PaymentEvent::CaptureRequested(e) => {
                    let row: usize = e.reference.as_str().strip_prefix("k/").unwrap().parse().unwrap();
                    let succeeds = self.amounts[row - 1].1;
                    let answer = if succeeds { payment::captured } else { payment::capture_failed };
                    answer(e.reference.as_str())
                }
                PaymentEvent::VoidRequested(_) => {
                    self.voids += 1;
                    payment::voided(&format!("v{}", self.voids))
                }
                PaymentEvent::RefundRequested(e) => payment::refunded(e.reference.as_str()),
                _ => continue,
            });
        }
    }

    /// Gives the answer to a question, whether or not it was given before.
    fn answer(&mut self, question: usize) {
        let answer = self.questions[question].clone();
        self.ask(answer);
    }
}
