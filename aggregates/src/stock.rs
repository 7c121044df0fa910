//! The stock of a SKU: its counters, its reservations by order line, and the deeds it has taken on by reference.
//!
//! At every instant `reserved + available = on_hand`, none is negative, and `reserved` is the sum of the open
//! reservations. A reservation stays known after it is closed, so that what arrives late or twice is recognised however
//! old it is.

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use imbl::OrdMap;
use schemas::stock::{
    AdjustStock, AdjustmentKind, LowStockReached, LowStockRecovered, LowStockThresholdSet, ReceiveStock,
    ReleaseStock, ReserveStock, ReturnStock, ShipStock, StockAdjusted, StockCommand, StockEvent, StockLevels,
    StockReceived, StockReleased, StockReserved, StockReturned, StockShipped,
};
use schemas::{OrderId, Quantity, Reference, ShipmentId, Sku};
use serde::{Deserialize, Serialize};

use crate::limits::{self, Invalid};

/// Most units on hand of one SKU.
pub const LEVEL_MAX: i64 = 1_000_000_000_000;

domain_errors! {
    /// Why stock refuses a command.
    StockError {
        #[error("{requested} units of {sku} are asked for, {available} are available")]
        Insufficient { sku: Sku, requested: i64, available: i64 } => InsufficientStock,
        #[error("line {line} of order {order_id} has {reserved} units of {sku} reserved already, not {requested}")]
        ReservationExists { sku: Sku, order_id: OrderId, line: u32, reserved: i64, requested: i64 } => ReservationExists,
        #[error("the reservation of {sku} for line {line} of order {order_id} is closed")]
        ReservationClosed { sku: Sku, order_id: OrderId, line: u32 } => ReservationClosed,
        #[error("nothing of {sku} is reserved for line {line} of order {order_id}")]
        ReservationNotFound { sku: Sku, order_id: OrderId, line: u32 } => ReservationNotFound,
        #[error("{requested} units would come back for line {line} of order {order_id}: {shipped} were shipped, {returned} are back")]
        ReturnExceedsShipped { order_id: OrderId, line: u32, requested: i64, shipped: i64, returned: i64 } => ReturnExceedsOrder,
        #[error("the reference {reference} stands for something else in the stock of {sku}")]
        ReferenceReused { sku: Sku, reference: Reference } => ReferenceReused,
        #[error("{sku} would have more than {limit} units on hand")]
        Limit { sku: Sku, on_hand: i64, limit: i64 } => StockLimit,
        #[error("{field} {problem}")]
        InvalidValue { field: &'static str, problem: String } => InvalidValue,
    }
}

/// What became of the units promised to an order line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Reservation {
    Open { quantity: Quantity },
    Released,
    Shipped { quantity: Quantity, shipment_id: ShipmentId, returned: i64 },
}

/// What a reference stands for. The words of a reason are for people: they do not make another deed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Deed {
    Received { quantity: Quantity },
    Returned { order_id: OrderId, line: u32, quantity: Quantity, restocked: bool },
    Adjusted { delta: i64, kind: AdjustmentKind },
}

/// The stock of a SKU.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stock {
    levels: StockLevels,
    threshold: i64,
    low: bool,
    reservations: OrdMap<(OrderId, u32), Reservation>,
    deeds: OrdMap<Reference, Deed>,
}

impl Stock {
    /// The counters.
    pub fn levels(&self) -> StockLevels {
        self.levels
    }

    /// The level below which stock is low; 0: the alert is off.
    pub fn low_stock_threshold(&self) -> i64 {
        self.threshold
    }

    /// Whether the alert is on.
    pub fn is_low(&self) -> bool {
        self.low
    }

    /// The open reservations: order, line, units.
    pub fn open_reservations(&self) -> impl Iterator<Item = (&OrderId, u32, Quantity)> {
        self.reservations.iter().filter_map(|((order_id, line), reservation)| match reservation {
            Reservation::Open { quantity } => Some((order_id, *line, *quantity)),
            _ => None,
        })
    }

    fn receive(&self, sku: Sku, command: ReceiveStock) -> Result<Vec<StockEvent>, StockError> {
        let ReceiveStock { quantity, reference } = command;
        if let Some(reference) = &reference
            && self.is_done(&sku, reference, &Deed::Received { quantity })?
        {
            return Ok(Vec::new());
        }
        let levels = self.add(&sku, quantity.get())?;
        let event = StockReceived { sku: sku.clone(), quantity, reference, levels };
        Ok(self.with_alert(sku, event.into(), levels.available))
    }

    fn reserve(&self, sku: Sku, command: ReserveStock) -> Result<Vec<StockEvent>, StockError> {
        let ReserveStock { order_id, line, quantity } = command;
        limits::line_number(line)?;
        match self.reservation(&order_id, line) {
            None => {}
            Some(Reservation::Open { quantity: reserved }) if *reserved == quantity => return Ok(Vec::new()),
            Some(Reservation::Open { quantity: reserved }) => {
                let (reserved, requested) = (reserved.get(), quantity.get());
                return Err(StockError::ReservationExists { sku, order_id, line, reserved, requested });
            }
            Some(Reservation::Released | Reservation::Shipped { .. }) => {
                return Err(StockError::ReservationClosed { sku, order_id, line });
            }
        }
        let available = self.levels.available;
        if quantity.get() > available {
            return Err(StockError::Insufficient { sku, requested: quantity.get(), available });
        }
        let levels = StockLevels {
            reserved: self.levels.reserved + quantity.get(),
            available: available - quantity.get(),
            ..self.levels
        };
        let event = StockReserved { sku: sku.clone(), order_id, line, quantity, levels };
        Ok(self.with_alert(sku, event.into(), levels.available))
    }

    fn release(&self, sku: Sku, command: ReleaseStock) -> Result<Vec<StockEvent>, StockError> {
        let ReleaseStock { order_id, line } = command;
        limits::line_number(line)?;
        let quantity = match self.reservation(&order_id, line) {
            // What was shipped comes back by a return, not by releasing the promise that was kept.
            Some(Reservation::Released | Reservation::Shipped { .. }) => return Ok(Vec::new()),
            Some(Reservation::Open { quantity }) => quantity.get(),
            None => 0,
        };
        let levels = StockLevels {
            reserved: self.levels.reserved - quantity,
            available: self.levels.available + quantity,
            ..self.levels
        };
        let event = StockReleased { sku: sku.clone(), order_id, line, quantity, levels };
        Ok(self.with_alert(sku, event.into(), levels.available))
    }

    fn ship(&self, sku: Sku, command: ShipStock) -> Result<Vec<StockEvent>, StockError> {
        let ShipStock { order_id, line, shipment_id } = command;
        limits::line_number(line)?;
        let quantity = match self.reservation(&order_id, line) {
            None => return Err(StockError::ReservationNotFound { sku, order_id, line }),
            Some(Reservation::Shipped { shipment_id: earlier, .. }) if *earlier == shipment_id => {
                return Ok(Vec::new());
            }
            Some(Reservation::Released | Reservation::Shipped { .. }) => {
                return Err(StockError::ReservationClosed { sku, order_id, line });
            }
            Some(Reservation::Open { quantity }) => *quantity,
        };
        let levels = StockLevels {
            on_hand: self.levels.on_hand - quantity.get(),
            reserved: self.levels.reserved - quantity.get(),
            ..self.levels
        };
        let event = StockShipped { sku: sku.clone(), order_id, line, quantity, shipment_id, levels };
        Ok(self.with_alert(sku, event.into(), levels.available))
    }

    fn take_back(&self, sku: Sku, command: ReturnStock) -> Result<Vec<StockEvent>, StockError> {
        let ReturnStock { order_id, line, quantity, reference, restock: restocked } = command;
        limits::line_number(line)?;
        let deed = Deed::Returned { order_id: order_id.clone(), line, quantity, restocked };
        if self.is_done(&sku, &reference, &deed)? {
            return Ok(Vec::new());
        }
        let (shipped, returned) = match self.reservation(&order_id, line) {
            None => return Err(StockError::ReservationNotFound { sku, order_id, line }),
            Some(Reservation::Open { .. } | Reservation::Released) => (0, 0),
            Some(Reservation::Shipped { quantity, returned, .. }) => (quantity.get(), *returned),
        };
        if returned + quantity.get() > shipped {
            let requested = quantity.get();
            return Err(StockError::ReturnExceedsShipped { order_id, line, requested, shipped, returned });
        }
        let levels = if restocked { self.add(&sku, quantity.get())? } else { self.levels };
        let event =
            StockReturned { sku: sku.clone(), order_id, line, quantity, reference, restocked, levels };
        Ok(self.with_alert(sku, event.into(), levels.available))
    }

    fn adjust(&self, sku: Sku, command: AdjustStock) -> Result<Vec<StockEvent>, StockError> {
        let AdjustStock { delta, kind, reason, reference } = command;
        if self.is_done(&sku, &reference, &Deed::Adjusted { delta, kind })? {
            return Ok(Vec::new());
        }
        if delta == 0 {
            return Err(Invalid::new("delta", "is 0, it has to change something").into());
        }
        limits::text("reason", &reason, 0..=limits::NOTE_CHARS_MAX)?;
        let available = self.levels.available;
        if delta < 0 && delta < -available {
            return Err(StockError::Insufficient { sku, requested: delta.saturating_neg(), available });
        }
        let levels = self.add(&sku, delta)?;
        let event = StockAdjusted { sku: sku.clone(), delta, kind, reason, reference, levels };
        Ok(self.with_alert(sku, event.into(), levels.available))
    }

    fn set_threshold(&self, sku: Sku, threshold: i64) -> Result<Vec<StockEvent>, StockError> {
        if !(0..=LEVEL_MAX).contains(&threshold) {
            return Err(
                Invalid::new("threshold", format!("is {threshold}, 0 to {LEVEL_MAX} are allowed")).into()
            );
        }
        if threshold == self.threshold {
            return Ok(Vec::new());
        }
        let mut events = vec![LowStockThresholdSet { sku: sku.clone(), threshold }.into()];
        events.extend(self.alert(sku, self.levels.available, threshold));
        Ok(events)
    }

    fn reservation(&self, order_id: &OrderId, line: u32) -> Option<&Reservation> {
        self.reservations.get(&(order_id.clone(), line))
    }

    /// Whether the deed was done under this reference; another deed under it is refused.
    fn is_done(&self, sku: &Sku, reference: &Reference, deed: &Deed) -> Result<bool, StockError> {
        match self.deeds.get(reference) {
            None => Ok(false),
            Some(done) if done == deed => Ok(true),
            Some(_) => Err(StockError::ReferenceReused { sku: sku.clone(), reference: reference.clone() }),
        }
    }

    /// The counters with `delta` more units on hand, all of them available.
    fn add(&self, sku: &Sku, delta: i64) -> Result<StockLevels, StockError> {
        let on_hand = self.levels.on_hand.saturating_add(delta);
        if on_hand > LEVEL_MAX {
            return Err(StockError::Limit {
                sku: sku.clone(),
                on_hand: self.levels.on_hand,
                limit: LEVEL_MAX,
            });
        }
        Ok(StockLevels { on_hand, available: self.levels.available + delta, ..self.levels })
    }

    /// The event, and the alert's own if it makes `available` cross the threshold.
    fn with_alert(&self, sku: Sku, event: StockEvent, available: i64) -> Vec<StockEvent> {
        let mut events = vec![event];
        events.extend(self.alert(sku, available, self.threshold));
        events
    }

    fn alert(&self, sku: Sku, available: i64, threshold: i64) -> Option<StockEvent> {
        match (self.low, available < threshold) {
            (false, true) => Some(LowStockReached { sku, available, threshold }.into()),
            (true, false) => Some(LowStockRecovered { sku, available, threshold }.into()),
            _ => None,
        }
    }
}

impl Aggregate for Stock {
    const TYPE: &'static str = "stock";
    type Command = (Sku, StockCommand);
    type Event = StockEvent;
    type Error = StockError;
    type Services = ();

    async fn handle(
        &mut self,
        (sku, command): Self::Command,
        _: &(),
        sink: &EventSink<Self>,
    ) -> Result<(), StockError> {
        let events = match command {
            StockCommand::Receive(command) => self.receive(sku, command)?,
            StockCommand::Reserve(command) => self.reserve(sku, command)?,
            StockCommand::Release(command) => self.release(sku, command)?,
            StockCommand::Ship(command) => self.ship(sku, command)?,
            StockCommand::Return(command) => self.take_back(sku, command)?,
            StockCommand::Adjust(command) => self.adjust(sku, command)?,
            StockCommand::SetLowStockThreshold(command) => self.set_threshold(sku, command.threshold)?,
        };
        for event in events {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: StockEvent) {
        match event {
            StockEvent::Received(event) => {
                self.levels = event.levels;
                if let Some(reference) = event.reference {
                    self.deeds.insert(reference, Deed::Received { quantity: event.quantity });
                }
            }
            StockEvent::Reserved(event) => {
                self.levels = event.levels;
                let reservation = Reservation::Open { quantity: event.quantity };
                self.reservations.insert((event.order_id, event.line), reservation);
            }
            StockEvent::Released(event) => {
                self.levels = event.levels;
                self.reservations.insert((event.order_id, event.line), Reservation::Released);
            }
            StockEvent::Shipped(event) => {
                self.levels = event.levels;
                let StockShipped { quantity, shipment_id, .. } = event;
                let reservation = Reservation::Shipped { quantity, shipment_id, returned: 0 };
                self.reservations.insert((event.order_id, event.line), reservation);
            }
            StockEvent::Returned(event) => {
                self.levels = event.levels;
                let key = (event.order_id.clone(), event.line);
                if let Some(Reservation::Shipped { returned, .. }) = self.reservations.get_mut(&key) {
                    *returned += event.quantity.get();
                }
                let StockReturned { order_id, line, quantity, restocked, .. } = event;
                self.deeds.insert(event.reference, Deed::Returned { order_id, line, quantity, restocked });
            }
            StockEvent::Adjusted(event) => {
                self.levels = event.levels;
                self.deeds.insert(event.reference, Deed::Adjusted { delta: event.delta, kind: event.kind });
            }
            StockEvent::LowStockThresholdSet(event) => self.threshold = event.threshold,
            StockEvent::LowStockReached(_) => self.low = true,
            StockEvent::LowStockRecovered(_) => self.low = false,
        }
    }
}
