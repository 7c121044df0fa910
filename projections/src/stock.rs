//! How much there is: one document per SKU.

use read_store::Table;
use schemas::stock::{StockEvent, StockLevels};
use schemas::{AggregateType, Event, Position, RecordedEvent, Version};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{FoldError, Key, Projection, RowId};

/// Whether stock is low.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LowStock {
    /// Stock is low while `available` is below this; 0: never.
    pub threshold: i64,
    /// Whether it is low.
    pub low: bool,
}

/// The stock of a SKU. At every instant `reserved + available = on_hand`, and none is negative.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StockDocument {
    /// Stock keeping unit.
    pub sku: String,
    /// Units in the house.
    pub on_hand: i64,
    /// Units of these that are promised to orders.
    pub reserved: i64,
    /// Units that can still be promised.
    pub available: i64,
    /// Whether that is little.
    pub low_stock: LowStock,
    /// Its stream's version.
    pub version: Version,
    /// Where its last event stands in the log.
    #[schema(value_type = String, example = "millrace.stock.events/0@17")]
    pub position: Position,
}

/// The stock.
pub struct Stock;

impl Projection for Stock {
    type Document = StockDocument;
    const TABLE: Table = Table::new("stock", 1);
    const TOPICS: &'static [AggregateType] = &[AggregateType::Stock];
    const KEY: Key = Key::Stream;

    fn rows(event: &RecordedEvent, rows: &mut Vec<RowId>) {
        rows.push(RowId::of(event.metadata.stream.id()));
    }

    fn fold(
        row: &RowId,
        document: Option<StockDocument>,
        event: &RecordedEvent,
    ) -> Result<Option<StockDocument>, FoldError> {
        let Event::Stock(body) = &event.event else { return Ok(document) };
        let mut stock = document.unwrap_or_else(|| StockDocument {
            sku: row.partition_key.clone(),
            on_hand: 0,
            reserved: 0,
            available: 0,
            low_stock: LowStock::default(),
            version: event.metadata.version,
            position: event.position.clone(),
        });
        match body {
            StockEvent::Received(event) => set_levels(&mut stock, &event.levels),
            StockEvent::Reserved(event) => set_levels(&mut stock, &event.levels),
            StockEvent::Released(event) => set_levels(&mut stock, &event.levels),
            StockEvent::Shipped(event) => set_levels(&mut stock, &event.levels),
            StockEvent::Returned(event) => set_levels(&mut stock, &event.levels),
            StockEvent::Adjusted(event) => set_levels(&mut stock, &event.levels),
            StockEvent::LowStockThresholdSet(set) => stock.low_stock.threshold = set.threshold,
            StockEvent::LowStockReached(_) => stock.low_stock.low = true,
            StockEvent::LowStockRecovered(_) => stock.low_stock.low = false,
        }
        stock.version = event.metadata.version;
        stock.position = event.position.clone();
        Ok(Some(stock))
    }
}

fn set_levels(stock: &mut StockDocument, levels: &StockLevels) {
    stock.on_hand = levels.on_hand;
    stock.reserved = levels.reserved;
    stock.available = levels.available;
}
