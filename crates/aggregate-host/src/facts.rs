//! What the commands API may know of aggregates: enough to fill in prices and stock, not their states.

use aggregates::State;
use schemas::cart::{CartChange, CartLine};
use schemas::order::LineKind;
use schemas::product::TaxClass;
use schemas::stock::StockLevels;
use schemas::{CartId, Currency, CustomerId, Money, OrderId, Sku, StreamId, Version};
use serde::{Deserialize, Serialize};

use crate::{HostError, HostHandle};

/// A product as an order needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductFacts {
    /// Its name.
    pub name: String,
    /// Goods or a service.
    pub kind: LineKind,
    /// How it is taxed.
    pub tax_class: TaxClass,
    /// Whether it may be sold.
    pub for_sale: bool,
    /// Its list price in the asked currency.
    pub price: Option<Money>,
}

/// A cart as checkout needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartFacts {
    /// The stream's version.
    pub version: Version,
    /// Currency of its prices.
    pub currency: Currency,
    /// Whose; none: a guest's.
    pub customer_id: Option<CustomerId>,
    /// What is in it.
    pub lines: Vec<CartLine>,
    /// What the last checkout found changed; empty when nothing did.
    pub changes: Vec<CartChange>,
    /// The order that it became; none: it is open.
    pub order_id: Option<OrderId>,
}

impl HostHandle {
    /// The product, with its price in `currency`; `None` when there is none.
    pub async fn product(&self, sku: &Sku, currency: Currency) -> Result<Option<ProductFacts>, HostError> {
        Ok(match self.state(&StreamId::product(sku)).await? {
            Some((_, State::Product(product))) => Some(ProductFacts {
                name: product.name().to_owned(),
                kind: product.kind(),
                tax_class: product.tax_class(),
                for_sale: product.is_for_sale(),
                price: product.price(currency),
            }),
            _ => None,
        })
    }

    /// The counters of a SKU; all nothing when it never had any.
    pub async fn stock_levels(&self, sku: &Sku) -> Result<StockLevels, HostError> {
        Ok(match self.state(&StreamId::stock(sku)).await? {
            Some((_, State::Stock(stock))) => stock.levels(),
            _ => StockLevels::default(),
        })
    }

    /// The cart; `None` when there is none.
    pub async fn cart(&self, id: &CartId) -> Result<Option<CartFacts>, HostError> {
        Ok(match self.state(&StreamId::from(id)).await? {
            Some((version, State::Cart(cart))) => cart.currency().map(|currency| CartFacts {
                version,
                currency,
                customer_id: cart.customer_id().cloned(),
                lines: cart.lines().cloned().collect(),
                changes: cart.changes().to_vec(),
                order_id: cart.order_id().cloned(),
            }),
            _ => None,
        })
    }
}
