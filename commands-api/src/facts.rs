//! What routes look up before they make a command, as a question that a peer can be asked too.

use aggregate_host::{CartFacts, HostError, HostHandle, ProductFacts};
use schemas::stock::StockLevels;
use schemas::{CartId, CommandId, Currency, Outcome, Sku, StreamId};
use serde::{Deserialize, Serialize};

/// A question about one stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Question {
    /// A product, with its price in a currency.
    Product { sku: Sku, currency: Currency },
    /// A SKU's counters.
    StockLevels { sku: Sku },
    /// A cart.
    Cart { id: CartId },
    /// Whether a stream has any event.
    Exists { stream: StreamId },
    /// What became of a command for a stream.
    Outcome { command_id: CommandId, stream: StreamId },
}

/// The answer to a [`Question`] of the same name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Facts {
    Product(Option<ProductFacts>),
    StockLevels(StockLevels),
    Cart(Option<CartFacts>),
    Exists(bool),
    Outcome(Option<Outcome>),
}

impl Question {
    /// The stream that it is about.
    pub(crate) fn stream(&self) -> StreamId {
        match self {
            Self::Product { sku, .. } => StreamId::product(sku),
            Self::StockLevels { sku } => StreamId::stock(sku),
            Self::Cart { id } => StreamId::from(id),
            Self::Exists { stream } | Self::Outcome { stream, .. } => stream.clone(),
        }
    }

    /// The answer, where this node serves the stream's shard.
    pub(crate) async fn answer(&self, host: &HostHandle) -> Result<Facts, HostError> {
        Ok(match self {
            Self::Product { sku, currency } => Facts::Product(host.product(sku, *currency).await?),
            Self::StockLevels { sku } => Facts::StockLevels(host.stock_levels(sku).await?),
            Self::Cart { id } => Facts::Cart(host.cart(id).await?),
            Self::Outcome { command_id, stream } => Facts::Outcome(host.outcome(*command_id, stream).await?),
            Self::Exists { stream } => Facts::Exists(host.state(stream).await?.is_some()),
        })
    }
}
