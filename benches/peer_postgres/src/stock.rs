//! The peer's aggregate: stock of a SKU that goods arrive at, and the view that is updated with each event.

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent, EventEnvelope, View};
use serde::{Deserialize, Serialize};

/// The levels, as Millrace's own stock has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Levels {
    on_hand: i64,
    reserved: i64,
    available: i64,
}

/// The state of one SKU.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stock {
    levels: Levels,
}

/// Goods arrive.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Receive {
    pub(crate) quantity: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum StockEvent {
    Received { quantity: i64, levels: Levels },
}

impl DomainEvent for StockEvent {
    fn event_type(&self) -> String {
        "Received".to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

/// What the aggregate refuses.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StockError {
    #[error("the quantity {0} is not positive")]
    NotPositive(i64),
    #[error("the stock would not be countable any more")]
    TooMuch,
}

impl Aggregate for Stock {
    const TYPE: &'static str = "stock";
    type Command = Receive;
    type Event = StockEvent;
    type Error = StockError;
    type Services = ();

    async fn handle(&mut self, command: Receive, _: &(), sink: &EventSink<Self>) -> Result<(), StockError> {
        let quantity = command.quantity;
        if quantity <= 0 {
            return Err(StockError::NotPositive(quantity));
        }
        let add = |level: i64| level.checked_add(quantity).ok_or(StockError::TooMuch);
        let levels = Levels {
            on_hand: add(self.levels.on_hand)?,
            available: add(self.levels.available)?,
            reserved: self.levels.reserved,
        };
        sink.write(StockEvent::Received { quantity, levels }, self).await;
        Ok(())
    }

    fn apply(&mut self, event: StockEvent) {
        let StockEvent::Received { levels, .. } = event;
        self.levels = levels;
    }
}

/// What is shown of a SKU.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct StockView {
    levels: Levels,
    events: u64,
}

impl View<Stock> for StockView {
    fn update(&mut self, event: &EventEnvelope<Stock>) {
        let StockEvent::Received { levels, .. } = &event.payload;
        self.levels = *levels;
        self.events += 1;
    }
}
