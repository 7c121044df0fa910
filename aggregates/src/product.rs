//! The product: a draft, for sale, or retired, with a list price per currency.

use std::sync::Arc;

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use imbl::OrdMap;
use schemas::order::LineKind;
use schemas::product::{
    ProductCommand, ProductDescribed, ProductDescription, ProductDrafted, ProductEvent, ProductPriced,
    ProductPublished, ProductRetired, RetireProduct, TaxClass,
};
use schemas::{Currency, Money, Sku};
use serde::{Deserialize, Serialize};

use crate::limits::{self, Invalid};

domain_errors! {
    /// Why a product refuses a command.
    ProductError {
        #[error("there is no product {sku}")]
        NotFound { sku: Sku } => ProductNotFound,
        #[error("the product {sku} exists already, with another description")]
        Exists { sku: Sku } => ProductExists,
        #[error("the product {sku} is retired")]
        Retired { sku: Sku } => ProductRetired,
        #[error("the product {sku} has no price, it cannot be published")]
        NotPriced { sku: Sku } => ProductNotPriced,
        #[error("{field} {problem}")]
        InvalidValue { field: &'static str, problem: String } => InvalidValue,
    }
}

/// Where a product stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProductStatus {
    /// There is no such product.
    #[default]
    Missing,
    /// Started, not for sale yet.
    Draft,
    /// For sale.
    Published,
    /// Out of sale for good.
    Retired,
}

/// A product.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Product {
    status: ProductStatus,
    description: Arc<ProductDescription>,
    prices: OrdMap<Currency, Money>,
}

/// The attribute that says what kind of order line the product makes, and its value for a service.
const KIND_ATTRIBUTE: (&str, &str) = ("kind", "service");

impl Product {
    /// Where it stands.
    pub fn status(&self) -> ProductStatus {
        self.status
    }

    /// Whether it can be bought.
    pub fn is_for_sale(&self) -> bool {
        self.status == ProductStatus::Published
    }

    /// List price of one unit in this currency.
    pub fn price(&self, currency: Currency) -> Option<Money> {
        self.prices.get(&currency).copied()
    }

    /// Name shown to buyers; empty for a missing product.
    pub fn name(&self) -> &str {
        &self.description.name
    }

    /// How it is taxed.
    pub fn tax_class(&self) -> TaxClass {
        self.description.tax_class
    }

    /// Whether its order lines are goods or a service: a service has the attribute `kind` = `service`.
    pub fn kind(&self) -> LineKind {
        let (name, service) = KIND_ATTRIBUTE;
        match self.description.attributes.0.get(name) {
            Some(kind) if kind == service => LineKind::Service,
            _ => LineKind::Goods,
        }
    }

    /// All that is said about it.
    pub fn description(&self) -> &ProductDescription {
        &self.description
    }

    fn draft(&self, sku: Sku, description: ProductDescription) -> Result<Option<ProductEvent>, ProductError> {
        if self.status != ProductStatus::Missing {
            if *self.description == description {
                return Ok(None);
            }
            return Err(ProductError::Exists { sku });
        }
        check_description(&description)?;
        Ok(Some(ProductDrafted { sku, description }.into()))
    }

    fn describe(
        &self,
        sku: Sku,
        description: ProductDescription,
    ) -> Result<Option<ProductEvent>, ProductError> {
        self.must_live(&sku)?;
        check_description(&description)?;
        if *self.description == description {
            return Ok(None);
        }
        Ok(Some(ProductDescribed { sku, description }.into()))
    }

    fn set_price(&self, sku: Sku, price: Money) -> Result<Option<ProductEvent>, ProductError> {
        self.must_live(&sku)?;
        limits::not_negative("price", price)?;
        let previous = self.price(price.currency);
        if previous == Some(price) {
            return Ok(None);
        }
        Ok(Some(ProductPriced { sku, price, previous }.into()))
    }

    fn publish(&self, sku: Sku) -> Result<Option<ProductEvent>, ProductError> {
        self.must_live(&sku)?;
        if self.status == ProductStatus::Published {
            return Ok(None);
        }
        if self.prices.is_empty() {
            return Err(ProductError::NotPriced { sku });
        }
        Ok(Some(ProductPublished { sku }.into()))
    }

    fn retire(&self, sku: Sku, command: RetireProduct) -> Result<Option<ProductEvent>, ProductError> {
        match self.status {
            ProductStatus::Missing => return Err(ProductError::NotFound { sku }),
            ProductStatus::Retired => return Ok(None),
            ProductStatus::Draft | ProductStatus::Published => {}
        }
        limits::text("reason", &command.reason, 0..=limits::NOTE_CHARS_MAX)?;
        Ok(Some(ProductRetired { sku, reason: command.reason }.into()))
    }

    fn must_live(&self, sku: &Sku) -> Result<(), ProductError> {
        match self.status {
            ProductStatus::Missing => Err(ProductError::NotFound { sku: sku.clone() }),
            ProductStatus::Retired => Err(ProductError::Retired { sku: sku.clone() }),
            ProductStatus::Draft | ProductStatus::Published => Ok(()),
        }
    }
}

fn check_description(description: &ProductDescription) -> Result<(), Invalid> {
    limits::text("name", &description.name, 1..=limits::NAME_CHARS_MAX)?;
    limits::text("description", &description.description, 0..=limits::DESCRIPTION_CHARS_MAX)?;
    limits::optional_text("brand", description.brand.as_deref(), 1..=limits::NAME_CHARS_MAX)?;
    limits::texts("category_path", &description.category_path, 1..=limits::NAME_CHARS_MAX)?;
    limits::entries("attributes", description.attributes.0.len(), limits::ENTRIES_MAX)?;
    for (name, value) in &description.attributes.0 {
        limits::text("attributes", name, 1..=limits::LABEL_CHARS_MAX)?;
        limits::text("attributes", value, 0..=limits::NOTE_CHARS_MAX)?;
    }
    limits::texts("media", &description.media, 1..=limits::NOTE_CHARS_MAX)?;
    let attributes = description.attributes.0.iter().flat_map(|(name, value)| [name, value]);
    let entries = description.category_path.iter().chain(&description.media).chain(attributes);
    limits::texts_together("category_path, attributes and media", entries.map(String::as_str))
}

impl Aggregate for Product {
    const TYPE: &'static str = "product";
    type Command = (Sku, ProductCommand);
    type Event = ProductEvent;
    type Error = ProductError;
    type Services = ();

    async fn handle(
        &mut self,
        (sku, command): Self::Command,
        _: &(),
        sink: &EventSink<Self>,
    ) -> Result<(), ProductError> {
        let event = match command {
            ProductCommand::Draft(description) => self.draft(sku, description)?,
            ProductCommand::Describe(description) => self.describe(sku, description)?,
            ProductCommand::Price(command) => self.set_price(sku, command.price)?,
            ProductCommand::Publish(_) => self.publish(sku)?,
            ProductCommand::Retire(command) => self.retire(sku, command)?,
        };
        if let Some(event) = event {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: ProductEvent) {
        match event {
            ProductEvent::Drafted(event) => {
                self.status = ProductStatus::Draft;
                self.description = Arc::new(event.description);
            }
            ProductEvent::Described(event) => self.description = Arc::new(event.description),
            ProductEvent::Priced(event) => {
                self.prices.insert(event.price.currency, event.price);
            }
            ProductEvent::Published(_) => self.status = ProductStatus::Published,
            ProductEvent::Retired(_) => self.status = ProductStatus::Retired,
        }
    }
}
