//! What a buyer has gathered: one document per cart.

use read_store::Table;
use schemas::cart::{CartChange, CartEvent, CartLine, CartOpened};
use schemas::{
    AggregateType, CartId, Currency, CustomerId, Event, OrderId, Position, RecordedEvent, Timestamp, Version,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{FoldError, Key, Projection, RowId};

/// Where a cart stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CartStatus {
    /// It can be changed and checked out.
    #[default]
    Open,
    /// It became an order.
    CheckedOut,
}

/// A cart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CartDocument {
    /// The cart.
    pub id: CartId,
    /// Where it stands.
    pub status: CartStatus,
    /// Whose; none: a guest's.
    pub customer_id: Option<CustomerId>,
    /// Currency of its prices.
    pub currency: Currency,
    /// Where it was started.
    pub channel: String,
    /// What is in it, at the prices that the buyer has seen.
    pub lines: Vec<CartLine>,
    /// What the last checkout found changed; empty once something in the cart was changed since.
    pub changes: Vec<CartChange>,
    /// The order that it became.
    pub order_id: Option<OrderId>,
    /// When it was started.
    pub opened_at: Timestamp,
    /// When it became an order.
    pub checked_out_at: Option<Timestamp>,
    /// Its stream's version.
    pub version: Version,
    /// Where its last event stands in the log.
    #[schema(value_type = String, example = "millrace.cart.events/0@17")]
    pub position: Position,
}

impl CartDocument {
    fn opened(opened: &CartOpened, event: &RecordedEvent) -> Self {
        Self {
            id: opened.cart_id.clone(),
            status: CartStatus::Open,
            customer_id: opened.customer_id.clone(),
            currency: opened.currency,
            channel: opened.channel.clone(),
            lines: Vec::new(),
            changes: Vec::new(),
            order_id: None,
            opened_at: event.metadata.occurred_at,
            checked_out_at: None,
            version: event.metadata.version,
            position: event.position.clone(),
        }
    }

    fn put_line(&mut self, line: &CartLine) {
        self.changes.clear();
        match self.lines.iter_mut().find(|known| known.sku == line.sku) {
            Some(known) => known.clone_from(line),
            None => self.lines.push(line.clone()),
        }
    }
}

/// The carts.
pub struct Carts;

impl Projection for Carts {
    type Document = CartDocument;
    const TABLE: Table = Table::new("cart", 1);
    const TOPICS: &'static [AggregateType] = &[AggregateType::Cart];
    const KEY: Key = Key::Stream;

    fn rows(event: &RecordedEvent, rows: &mut Vec<RowId>) {
        rows.push(RowId::of(event.metadata.stream.id()));
    }

    fn fold(
        _: &RowId,
        document: Option<CartDocument>,
        event: &RecordedEvent,
    ) -> Result<Option<CartDocument>, FoldError> {
        let Event::Cart(body) = &event.event else { return Ok(document) };
        let mut cart = match (document, body) {
            (Some(cart), _) => cart,
            (None, CartEvent::Opened(opened)) => CartDocument::opened(opened, event),
            (None, other) => return Err(FoldError::NotStarted { what: other.ce_type() }),
        };
        match body {
            CartEvent::Opened(_) => {}
            CartEvent::LineAdded(added) => cart.put_line(&added.line),
            CartEvent::LineChanged(changed) => cart.put_line(&changed.line),
            CartEvent::LineRemoved(removed) => {
                cart.changes.clear();
                cart.lines.retain(|known| known.sku != removed.sku);
            }
            CartEvent::Claimed(claimed) => cart.customer_id = Some(claimed.customer_id.clone()),
            CartEvent::ChangesFound(found) => {
                cart.lines.clone_from(&found.lines);
                cart.changes.clone_from(&found.changes);
            }
            CartEvent::CheckedOut(checked_out) => {
                cart.status = CartStatus::CheckedOut;
                cart.changes.clear();
                cart.lines.clone_from(&checked_out.lines);
                cart.order_id = Some(checked_out.order_id.clone());
                cart.checked_out_at = Some(event.metadata.occurred_at);
            }
        }
        cart.version = event.metadata.version;
        cart.position = event.position.clone();
        Ok(Some(cart))
    }
}
