//! Histories of a small shop, for tests: events with the positions and versions that a log would give them.

use std::collections::HashMap;

use event_log::{Batch, Log, Shard, Topics, encode_event, partition_for};
use schemas::customer::{
    CreditKind, CustomerConsentRecorded, CustomerCredited, CustomerInteractionRecorded, CustomerProfile,
    CustomerRegistered, CustomerTagged, InteractionKind,
};
use schemas::order::{
    CancelReason, GoodsLine, LineKind, OrderCancelled, OrderConfirmed, OrderDelivered, OrderLine,
    OrderLineReturned, OrderPlaced, OrderReserved, OrderShipped,
};
use schemas::payment::{
    CaptureRequested, PaymentAuthorised, PaymentBalance, PaymentCaptured, PaymentDeclined, PaymentRefunded,
    PaymentRequested, RefundRequested,
};
use schemas::product::{ProductDescription, ProductDrafted, ProductPriced, ProductPublished, TaxClass};
use schemas::shipment::{ShipmentCreated, ShipmentDelivered, ShipmentDispatched};
use schemas::stock::{
    AdjustmentKind, StockAdjusted, StockLevels, StockReceived, StockReleased, StockReserved, StockReturned,
    StockShipped,
};
use schemas::{
    Command, CommandId, Currency, CustomerId, Event, EventMetadata, Money, OrderId, Position, Positions,
    Principal, Quantity, RecordedEvent, Reference, ShipmentId, Sku, StreamId, Timestamp, Version,
};

/// Namespace of the topics.
pub const NAMESPACE: &str = "shop";

/// Gives events their versions and positions, as a log with so many partitions would.
pub struct Recorder {
    topics: Topics,
    partitions: u32,
    versions: HashMap<StreamId, u64>,
    offsets: HashMap<(String, u32), u64>,
    levels: HashMap<Sku, StockLevels>,
    now: Timestamp,
    events: Vec<RecordedEvent>,
}

/// `pence` pounds sterling.
pub fn pounds(pence: i64) -> Money {
    Money::new(pence, Currency::GBP)
}

/// What happens to an order of [`Recorder::order`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is placed, and nothing more.
    Placed,
    /// It is paid, sent and arrives.
    Delivered,
    /// It arrives, and its first line's first unit comes back and is paid back.
    Returned,
    /// The payment is declined.
    Declined,
}

impl Recorder {
    /// A log with `partitions` partitions, at noon of 1 December 2010.
    pub fn new(partitions: u32) -> Self {
        Self {
            topics: Topics::new(NAMESPACE),
            partitions,
            versions: HashMap::new(),
            offsets: HashMap::new(),
            levels: HashMap::new(),
            now: "2010-12-01T12:00:00Z".parse().expect("a valid time"),
            events: Vec::new(),
        }
    }

    /// What was recorded so far.
    pub fn events(&self) -> &[RecordedEvent] {
        &self.events
    }

    /// The next events happen `days` later.
    pub fn pass_days(&mut self, days: i64) {
        self.now = self.now.plus_millis(days * 86_400_000);
    }

    /// Records an event; returns it.
    pub fn record(&mut self, stream: impl Into<StreamId>, event: impl Into<Event>) -> RecordedEvent {
        let (stream, event) = (stream.into(), event.into());
        let topic = self.topics.events(event.aggregate_type()).clone();
        let partition = partition_for(stream.id().as_bytes(), self.partitions);
        let offset = self.offsets.entry((topic.to_string(), partition)).or_insert(0);
        let position = Position { topic, partition, offset: *offset };
        *offset += 1;
        let version = self.versions.entry(stream.clone()).or_insert(0);
        *version += 1;
        let command_id = CommandId::new(uuid::Uuid::from_u128(self.events.len() as u128 + 1));
        let command = Command::Stock {
            id: Sku::new("X").expect("a valid sku"),
            body: schemas::stock::StockCommand::SetLowStockThreshold(schemas::stock::SetLowStockThreshold {
                threshold: 0,
            }),
        };
        let metadata = EventMetadata {
            stream,
            version: Version::new(*version),
            occurred_at: self.now,
            recorded_at: "2026-01-01T00:00:00Z".parse().expect("a valid time"),
            command_id,
            command_hash: command.hash(),
            correlation_id: command_id.into(),
            causation_id: None,
            principal: Principal::anonymous(),
            writer_term: 1,
            traceparent: None,
        };
        let recorded = RecordedEvent { position, metadata, event };
        self.events.push(recorded.clone());
        recorded
    }

    /// A product is drafted, priced and published.
    pub fn product(&mut self, sku: &Sku, name: &str, price: Money) {
        let stream = StreamId::product(sku);
        let description = ProductDescription { name: name.to_owned(), ..ProductDescription::default() };
        self.record(stream.clone(), ProductDrafted { sku: sku.clone(), description });
        self.record(stream.clone(), ProductPriced { sku: sku.clone(), price, previous: None });
        self.record(stream, ProductPublished { sku: sku.clone() });
    }

    fn levels(&mut self, sku: &Sku, on_hand: i64, reserved: i64) -> StockLevels {
        let levels = self.levels.entry(sku.clone()).or_default();
        levels.on_hand += on_hand;
        levels.reserved += reserved;
        levels.available = levels.on_hand - levels.reserved;
        *levels
    }

    /// Goods arrive.
    pub fn receive(&mut self, sku: &Sku, units: i64) {
        let levels = self.levels(sku, units, 0);
        let quantity = quantity(units);
        self.record(
            StreamId::stock(sku),
            StockReceived { sku: sku.clone(), quantity, reference: None, levels },
        );
    }

    /// Stock is adjusted.
    pub fn adjust(&mut self, sku: &Sku, delta: i64, kind: AdjustmentKind, reference: &str) {
        let levels = self.levels(sku, delta, 0);
        let reason = "counted".to_owned();
        let reference = reference.parse().expect("a valid reference");
        self.record(
            StreamId::stock(sku),
            StockAdjusted { sku: sku.clone(), delta, kind, reason, reference, levels },
        );
    }

    /// Somebody becomes a customer, is tagged, consents and looks at something.
    pub fn customer(&mut self, id: &CustomerId, name: &str) {
        let profile = CustomerProfile { name: name.to_owned(), ..CustomerProfile::default() };
        self.record(id, CustomerRegistered { customer_id: id.clone(), profile });
        self.record(id, CustomerTagged { customer_id: id.clone(), tag: "regular".to_owned() });
        let (purpose, source) = ("newsletter".to_owned(), "form".to_owned());
        self.record(id, CustomerConsentRecorded { customer_id: id.clone(), purpose, granted: true, source });
        self.record(
            id,
            CustomerInteractionRecorded {
                customer_id: id.clone(),
                kind: InteractionKind::Viewed,
                sku: None,
                detail: String::new(),
                channel: "web".to_owned(),
                session: None,
            },
        );
    }

    /// An account is credited.
    pub fn credit(
        &mut self,
        id: &CustomerId,
        amount: Money,
        balance: Money,
        kind: CreditKind,
        reference: &str,
    ) {
        let reference = reference.parse().expect("a valid reference");
        let (order_id, reason) = (None, "credit".to_owned());
        let event =
            CustomerCredited { customer_id: id.clone(), reference, amount, kind, order_id, reason, balance };
        self.record(id, event);
    }

    /// An order of one line per SKU and quantity, at one pound each, up to its ending.
    pub fn order(
        &mut self,
        id: &OrderId,
        customer: Option<&CustomerId>,
        lines: &[(&Sku, i64)],
        ending: Ending,
    ) {
        let customer_id = customer.cloned();
        let total = pounds(lines.iter().map(|(_, units)| units * 100).sum());
        let order_lines: Vec<_> =
            lines.iter().zip(1..).map(|((sku, units), n)| order_line(n, sku, *units)).collect();
        let goods: Vec<_> = order_lines
            .iter()
            .map(|line| GoodsLine { line: line.line, sku: line.sku.clone(), quantity: line.quantity })
            .collect();
        let payment_method = "card".to_owned();
        self.record(
            id,
            OrderPlaced {
                order_id: id.clone(),
                customer_id: customer_id.clone(),
                email: customer.is_none().then(|| "guest@example.com".to_owned()),
                channel: "web".to_owned(),
                country: "United Kingdom".to_owned(),
                currency: Currency::GBP,
                lines: order_lines,
                total,
                tax: pounds(0),
                shipping_address: None,
                payment_method: payment_method.clone(),
            },
        );
        if ending == Ending::Placed {
            return;
        }
        for line in &goods {
            let units = line.quantity.get();
            let levels = self.levels(&line.sku, 0, units);
            let (sku, order_id) = (line.sku.clone(), id.clone());
            let event = StockReserved { sku, order_id, line: line.line, quantity: line.quantity, levels };
            self.record(StreamId::stock(&line.sku), event);
        }
        let reserved =
            OrderReserved { order_id: id.clone(), customer_id: customer_id.clone(), total, payment_method };
        self.record(id, reserved);
        if self.pay(id, customer_id.clone(), total, ending) {
            self.deliver(id, customer_id, &goods, total, ending);
        } else {
            self.cancel(id, &goods, total);
        }
    }

    fn pay(&mut self, id: &OrderId, customer_id: Option<CustomerId>, amount: Money, ending: Ending) -> bool {
        let (payment_id, order_id) = (id.payment_id(), id.clone());
        let method = "card".to_owned();
        let requested =
            PaymentRequested { payment_id: payment_id.clone(), order_id, customer_id, amount, method };
        self.record(&payment_id, requested);
        let order_id = id.clone();
        if ending == Ending::Declined {
            let (code, message) = ("51".to_owned(), "insufficient funds".to_owned());
            let declined = PaymentDeclined { payment_id: payment_id.clone(), order_id, code, message };
            self.record(&payment_id, declined);
            return false;
        }
        let balance = balance(amount.amount_minor, 0, 0);
        let provider_reference = "auth-1".to_owned();
        let event = PaymentAuthorised {
            payment_id: payment_id.clone(),
            order_id,
            amount,
            provider_reference,
            balance,
        };
        self.record(&payment_id, event);
        true
    }

    fn cancel(&mut self, id: &OrderId, goods: &[GoodsLine], total: Money) {
        for line in goods {
            let units = line.quantity.get();
            let levels = self.levels(&line.sku, 0, -units);
            let (sku, order_id) = (line.sku.clone(), id.clone());
            let event = StockReleased { sku, order_id, line: line.line, quantity: units, levels };
            self.record(StreamId::stock(&line.sku), event);
        }
        self.record(
            id,
            OrderCancelled {
                order_id: id.clone(),
                reason: CancelReason::PaymentDeclined,
                detail: "51".to_owned(),
                goods: goods.to_vec(),
                shipment_id: None,
                total,
            },
        );
    }

    fn deliver(
        &mut self,
        id: &OrderId,
        customer_id: Option<CustomerId>,
        goods: &[GoodsLine],
        total: Money,
        ending: Ending,
    ) {
        let confirmed =
            OrderConfirmed { order_id: id.clone(), goods: goods.to_vec(), total, shipping_address: None };
        self.record(id, confirmed);
        let shipment_id = ShipmentId::new(format!("{id}-s1")).expect("a valid id");
        let carrier = "post".to_owned();
        self.record(
            &shipment_id,
            ShipmentCreated {
                shipment_id: shipment_id.clone(),
                order_id: id.clone(),
                goods: goods.to_vec(),
                address: None,
                carrier: carrier.clone(),
            },
        );
        for line in goods {
            let units = line.quantity.get();
            let levels = self.levels(&line.sku, -units, -units);
            let event = StockShipped {
                sku: line.sku.clone(),
                order_id: id.clone(),
                line: line.line,
                quantity: line.quantity,
                shipment_id: shipment_id.clone(),
                levels,
            };
            self.record(StreamId::stock(&line.sku), event);
        }
        self.record(
            &shipment_id,
            ShipmentDispatched {
                shipment_id: shipment_id.clone(),
                order_id: id.clone(),
                goods: goods.to_vec(),
                carrier,
                tracking_number: "TN1".to_owned(),
            },
        );
        self.record(id, OrderShipped { order_id: id.clone(), shipment_id: shipment_id.clone(), total });
        let reference: Reference = format!("{id}/1").parse().expect("a valid reference");
        let (payment_id, provider_reference) = (id.payment_id(), "cap-1".to_owned());
        self.record(
            &payment_id,
            CaptureRequested {
                payment_id: payment_id.clone(),
                order_id: id.clone(),
                reference: reference.clone(),
                amount: total,
                provider_reference: provider_reference.clone(),
            },
        );
        self.record(
            &payment_id,
            PaymentCaptured {
                payment_id: payment_id.clone(),
                order_id: id.clone(),
                reference,
                amount: total,
                provider_reference,
                balance: balance(total.amount_minor, total.amount_minor, 0),
            },
        );
        let received_by = "neighbour".to_owned();
        let delivered =
            ShipmentDelivered { shipment_id: shipment_id.clone(), order_id: id.clone(), received_by };
        self.record(&shipment_id, delivered);
        self.record(id, OrderDelivered { order_id: id.clone(), customer_id: customer_id.clone(), total });
        if ending == Ending::Returned {
            self.take_back(id, customer_id, &goods[0], total);
        }
    }

    fn take_back(&mut self, id: &OrderId, customer_id: Option<CustomerId>, line: &GoodsLine, total: Money) {
        let reference: Reference = format!("C{id}/1").parse().expect("a valid reference");
        let (payment_id, refund) = (id.payment_id(), pounds(100));
        self.record(
            id,
            OrderLineReturned {
                order_id: id.clone(),
                customer_id,
                reference: reference.clone(),
                line: line.line,
                sku: line.sku.clone(),
                kind: LineKind::Goods,
                quantity: quantity(1),
                refund,
                restock: true,
                reason: "broken".to_owned(),
            },
        );
        let levels = self.levels(&line.sku, 1, 0);
        self.record(
            StreamId::stock(&line.sku),
            StockReturned {
                sku: line.sku.clone(),
                order_id: id.clone(),
                line: line.line,
                quantity: quantity(1),
                reference: reference.clone(),
                restocked: true,
                levels,
            },
        );
        let provider_reference = "ref-1".to_owned();
        self.record(
            &payment_id,
            RefundRequested {
                payment_id: payment_id.clone(),
                order_id: id.clone(),
                reference: reference.clone(),
                amount: refund,
                provider_reference: provider_reference.clone(),
                reason: "broken".to_owned(),
            },
        );
        self.record(
            &payment_id,
            PaymentRefunded {
                payment_id: payment_id.clone(),
                order_id: id.clone(),
                reference,
                amount: refund,
                provider_reference,
                balance: balance(total.amount_minor, total.amount_minor, refund.amount_minor),
            },
        );
    }
}

fn quantity(units: i64) -> Quantity {
    Quantity::new(units).expect("a valid quantity")
}

fn balance(authorised: i64, captured: i64, refunded: i64) -> PaymentBalance {
    PaymentBalance { authorised, captured, voided: 0, open: authorised - captured, refunded }
}

fn order_line(line: u32, sku: &Sku, units: i64) -> OrderLine {
    OrderLine {
        line,
        sku: sku.clone(),
        kind: LineKind::Goods,
        name: format!("name of {sku}"),
        quantity: quantity(units),
        unit_price: pounds(100),
        discount: pounds(0),
        tax_class: TaxClass::Standard,
        tax: pounds(0),
        total: pounds(units * 100),
    }
}

/// Three products, three customers and a guest, orders with every ending over several days, corrections and credits:
/// one step per number, chosen by it.
pub fn shop(partitions: u32, steps: &[u8]) -> Recorder {
    let mut shop = Recorder::new(partitions);
    let skus = ["85123A", "22423", "BANK CHARGES"].map(|sku| Sku::new(sku).expect("a valid sku"));
    let customers = ["17850", "13047", "12583"].map(|id| CustomerId::new(id).expect("a valid id"));
    for sku in &skus {
        shop.product(sku, "white hanging heart", pounds(100));
        shop.receive(sku, 10_000);
    }
    for customer in &customers {
        shop.customer(customer, "A. Buyer");
    }
    let mut balance = 0;
    for (number, step) in (1..).zip(steps) {
        let (choice, sku) = (usize::from(*step), &skus[usize::from(*step) % skus.len()]);
        let customer = customers.get(choice / 8 % 4);
        match step % 8 {
            5 => shop.adjust(sku, 3, AdjustmentKind::ReturnWithoutOrder, &format!("C{number}/1")),
            6 => shop.adjust(sku, -2, AdjustmentKind::Correction, &format!("K{number}/1/{}", choice % 2 + 1)),
            7 => {
                balance += 250;
                let amount = pounds(250);
                shop.credit(
                    &customers[0],
                    amount,
                    pounds(balance),
                    CreditKind::Note,
                    &format!("A{number}/1"),
                );
            }
            ending => {
                let ending = match ending {
                    0 => Ending::Placed,
                    1 => Ending::Declined,
                    2 => Ending::Returned,
                    _ => Ending::Delivered,
                };
                let id = OrderId::new(format!("{}", 536_365 + number)).expect("a valid id");
                shop.order(&id, customer, &[(sku, 2), (&skus[0], 1 + i64::from(step % 5))], ending);
            }
        }
        shop.pass_days(i64::from(step % 3 == 0));
    }
    shop
}

/// Appends events to a log, each to its partition, in order; says where the last of each partition stands. In an
/// embedded log that holds what was recorded before them, they get the positions that they say.
pub fn append(log: &dyn Log, events: &[RecordedEvent]) -> Positions {
    let mut ends = Positions::new();
    for k in 0..log.partitions() {
        let encode = |event: &RecordedEvent| {
            encode_event(log.topics(), log.partitions(), &event.metadata, &event.event)
                .expect("events can be encoded")
        };
        let records: Vec<_> =
            events.iter().filter(|event| event.position.partition == k).map(encode).collect();
        if records.is_empty() {
            continue;
        }
        let mut writer = log.open_writer(Shard::new(k)).expect("the writer opens");
        let appended = writer.append(Batch::of(records)).expect("the batch is written");
        ends.extend(appended.positions().iter().cloned());
    }
    ends
}
