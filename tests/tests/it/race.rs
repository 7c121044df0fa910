//! Many buyers, few units: however they race, and whatever is killed meanwhile, nothing is sold twice or lost.

use std::collections::{BTreeMap, HashMap};

use event_log::{Record, decode_event};
use schemas::order::{OrderEvent, OrderLine};
use schemas::stock::StockEvent;
use schemas::{Command, CommandId, Event, OrderId, Principal, Sku};
use serde_json::{Value, json};
use testkit::history::{Evidence, LoggedRecord, Recorder, Scope, export_records};
use testkit::load::{Load, LoadConfig, Nodes, Operation};
use testkit::{Shape, eventually};

use crate::shop::{ended, log_records, rounds, seed, start_patiently, verify_settled};

/// A race for the units of each of the goods.
#[derive(Clone, Copy, Debug)]
struct Race {
    orders: u32,
    units: i64,
    /// Two of the goods, and orders of one or two lines, which may be of the same item; else one of each.
    is_mixed: bool,
    /// `kill -9` so often, at random, while orders are placed and worked off.
    kills: u32,
    seed: u64,
}

impl Race {
    /// As it is told, or a short one where no proof is asked for.
    fn of(is_mixed: bool, kills: u32) -> Self {
        let (orders, units) = if rounds().is_some() { (2_000, 300) } else { (400, 60) };
        Self { orders, units, is_mixed, kills, seed: seed(7) }
    }

    fn goods(&self) -> Vec<Sku> {
        let names: &[&str] = if self.is_mixed { &["RARE", "SCARCE"] } else { &["RARE"] };
        names.iter().map(|name| Sku::new(name).unwrap()).collect()
    }

    fn opening(&self) -> Vec<Operation> {
        let price = json!({"price": {"amount_minor": 1_000, "currency": "GBP"}});
        let mut all = Vec::new();
        for sku in self.goods() {
            let steps = [
                ("product", "draft", json!({"name": sku})),
                ("product", "price", price.clone()),
                ("product", "publish", json!({})),
                ("stock", "receive", json!({"quantity": self.units})),
            ];
            for (aggregate, kind, data) in steps {
                let command = json!({"aggregate": aggregate, "id": sku, "type": kind, "data": data});
                let command: Command = serde_json::from_value(command).unwrap();
                let id = command_id(&format!("{kind}-{sku}"));
                all.push(Operation::command(id, Principal::anonymous(), None, &command));
            }
        }
        all
    }

    fn order_ids(&self) -> impl Iterator<Item = OrderId> {
        (0..self.orders).map(|number| OrderId::new(format!("race-{number}")).unwrap())
    }

    fn orders(&self) -> Vec<Operation> {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let goods = self.goods();
        let mut line = || json!({"sku": goods[random.usize(..goods.len())], "quantity": 1});
        let orders = self.order_ids().zip(0..).map(|(id, number)| {
            let lines: Vec<Value> =
                (0..if self.is_mixed { 1 + number % 2 } else { 1 }).map(|_| line()).collect();
            let body =
                json!({"id": id, "country": "United Kingdom", "payment_method": "sandbox", "lines": lines});
            Operation::order(command_id(id.as_str()), &id, body)
        });
        orders.collect()
    }

    /// When to kill, in records of the log. An order makes at least four: placed, reserved or refused, and its end.
    fn moments(&self) -> Vec<u64> {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let mut moments: Vec<_> =
            (0..self.kills).map(|_| random.u64(1..u64::from(4 * self.orders))).collect();
        moments.sort_unstable();
        moments
    }

    /// Runs it; returns how many orders were delivered.
    async fn run(self, shape: Shape) -> u32 {
        let mut app = start_patiently(shape).await;
        let (nodes, recorder) = (Nodes::new([app.url()]), Recorder::new());
        let config = LoadConfig { seed: self.seed, ..LoadConfig::default() };
        let one = LoadConfig { clients: 1, ..config.clone() };
        Load::of(&one, &nodes, &recorder, self.opening()).finish().await;
        // Every order is a client of its own: all ask at once.
        let all = LoadConfig { clients: self.orders, ..config };
        let mut load = Load::of(&all, &nodes, &recorder, self.orders());
        for moment in self.moments() {
            eventually(&format!("{moment} records"), || async {
                (log_records(&app).await >= moment).then_some(())
            })
            .await;
            app.kill();
            app.launch().await;
        }
        load.finish().await;
        for order in self.order_ids() {
            ended(&app, order.as_str()).await;
        }
        let report = verify_settled(&app).await;
        let (topics, records) = export_records(nodes.client(), &app.url()).await.unwrap();
        let log = records.iter().map(|record| LoggedRecord::of(record, &topics)).collect();
        let checked = Evidence { history: recorder.history(), log }.must_be_clean("race", &Scope::default());
        println!("{self:?} on {:?}:\n{checked}", app.shape());
        assert!(checked.counts.accepted >= self.orders as usize, "{checked}");
        let delivered = self.fold(&records);
        assert_eq!(report["delivered_orders"], delivered);
        delivered
    }

    /// Folds the log: at every instant and at the end everything adds up.
    fn fold(&self, records: &[Record]) -> u32 {
        let events = records.iter().filter(|record| record.position.topic.ends_with(".events"));
        let mut shelves: HashMap<Sku, Shelf> = HashMap::new();
        let mut orders: BTreeMap<OrderId, Order> = BTreeMap::new();
        for recorded in events.map(|record| decode_event(record).unwrap()) {
            match recorded.event {
                Event::Stock(event) => {
                    shelves.entry(sku(&event).clone()).or_default().apply(&event, self.units)
                }
                Event::Order(event) => Order::apply(&mut orders, event),
                _ => {}
            }
        }
        assert_eq!(shelves.len(), self.goods().len());
        for (sku, shelf) in &shelves {
            assert_eq!(
                (shelf.reserved.len(), shelf.on_hand + shelf.sold),
                (0, self.units),
                "{sku}: {shelf:?}"
            );
            let sold = orders.values().filter(|order| order.is_delivered).flat_map(|order| &order.lines);
            assert_eq!(sold.filter(|line| line.sku == *sku).count() as i64, shelf.sold, "{sku}");
        }
        assert_eq!(orders.len(), self.orders as usize);
        for (id, order) in &orders {
            // Whole or not at all: a cancelled one has no units that left the house.
            let shipped =
                shelves.values().flat_map(|shelf| &shelf.shipped).filter(|(order, _)| order == id).count();
            assert_eq!(shipped, if order.is_delivered { order.lines.len() } else { 0 }, "{id}");
        }
        u32::try_from(orders.values().filter(|order| order.is_delivered).count()).unwrap()
    }
}

fn command_id(key: &str) -> CommandId {
    CommandId::from_idempotency_key(&Principal::anonymous(), key)
}

/// What the events say of one of the goods.
#[derive(Debug, Default)]
struct Shelf {
    on_hand: i64,
    sold: i64,
    /// Units held by order lines.
    reserved: HashMap<(OrderId, u32), i64>,
    shipped: Vec<(OrderId, u32)>,
}

impl Shelf {
    fn apply(&mut self, event: &StockEvent, units: i64) {
        match event {
            StockEvent::Received(event) => self.on_hand += event.quantity.get(),
            StockEvent::Reserved(event) => {
                let line = (event.order_id.clone(), event.line);
                assert_eq!(
                    self.reserved.insert(line, event.quantity.get()),
                    None,
                    "reserved twice: {event:?}"
                );
            }
            StockEvent::Released(event) => {
                let held = self.reserved.remove(&(event.order_id.clone(), event.line)).unwrap_or(0);
                assert_eq!(held, event.quantity, "{event:?}");
            }
            StockEvent::Shipped(event) => {
                let line = (event.order_id.clone(), event.line);
                assert_eq!(self.reserved.remove(&line), Some(event.quantity.get()), "{event:?}");
                self.on_hand -= event.quantity.get();
                self.sold += event.quantity.get();
                self.shipped.push(line);
            }
            other => panic!("nobody asked for {other:?}"),
        }
        let reserved: i64 = self.reserved.values().sum();
        assert!(reserved + self.sold <= units, "{reserved} reserved and {} sold of {units}", self.sold);
    }
}

/// An order and how it ended.
#[derive(Debug)]
struct Order {
    lines: Vec<OrderLine>,
    is_delivered: bool,
    is_cancelled: bool,
}

impl Order {
    fn apply(orders: &mut BTreeMap<OrderId, Self>, event: OrderEvent) {
        match event {
            OrderEvent::Placed(event) => {
                let order = Self { lines: event.lines, is_delivered: false, is_cancelled: false };
                assert!(orders.insert(event.order_id, order).is_none(), "placed twice");
            }
            OrderEvent::Delivered(event) => {
                let order = orders.get_mut(&event.order_id).unwrap();
                assert!(
                    !order.is_cancelled && !std::mem::replace(&mut order.is_delivered, true),
                    "{event:?}"
                );
            }
            OrderEvent::Cancelled(event) => {
                let order = orders.get_mut(&event.order_id).unwrap();
                assert!(
                    !order.is_delivered && !std::mem::replace(&mut order.is_cancelled, true),
                    "{event:?}"
                );
            }
            _ => {}
        }
    }
}

fn sku(event: &StockEvent) -> &Sku {
    match event {
        StockEvent::Received(event) => &event.sku,
        StockEvent::Reserved(event) => &event.sku,
        StockEvent::Released(event) => &event.sku,
        StockEvent::Shipped(event) => &event.sku,
        StockEvent::Returned(event) => &event.sku,
        StockEvent::Adjusted(event) => &event.sku,
        StockEvent::LowStockThresholdSet(event) => &event.sku,
        StockEvent::LowStockReached(event) => &event.sku,
        StockEvent::LowStockRecovered(event) => &event.sku,
    }
}

/// The race on both shapes, as often as a proof asks for.
async fn on_all_shapes(race: Race, is_right: impl Fn(u32) -> bool) {
    for round in 0..rounds().unwrap_or(1) {
        for shape in Shape::all() {
            let race = Race { seed: race.seed + u64::from(round), ..race };
            let delivered = race.run(shape).await;
            assert!(is_right(delivered), "{delivered} orders were delivered: {race:?}");
        }
    }
}

#[tokio::test]
async fn as_many_one_unit_orders_are_delivered_as_there_are_units() {
    let race = Race::of(false, 0);
    on_all_shapes(race, |delivered| i64::from(delivered) == race.units).await;
}

#[tokio::test]
async fn as_many_are_delivered_when_the_shop_is_killed_meanwhile() {
    let race = Race::of(false, 2);
    on_all_shapes(race, |delivered| i64::from(delivered) == race.units).await;
}

#[tokio::test]
async fn an_order_of_two_lines_gets_both_or_nothing() {
    let race = Race::of(true, 0);
    // How many there are depends on who comes first: at most one for every unit, and not none.
    on_all_shapes(race, |delivered| (1..=2 * race.units).contains(&i64::from(delivered))).await;
}

#[tokio::test]
async fn an_order_of_two_lines_gets_both_or_nothing_when_the_shop_is_killed_meanwhile() {
    let race = Race::of(true, 2);
    on_all_shapes(race, |delivered| (1..=2 * race.units).contains(&i64::from(delivered))).await;
}
