//! What is sold: one document per SKU.

use read_store::Table;
use schemas::product::{Attributes, ProductDescription, ProductEvent, TaxClass};
use schemas::{AggregateType, Event, Money, Position, RecordedEvent, Sku, Timestamp, Version};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{FoldError, Key, Projection, RowId};

/// Where a product stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProductStatus {
    /// Not for sale yet.
    #[default]
    Draft,
    /// For sale.
    Published,
    /// Out of sale for good.
    Retired,
}

/// A product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProductDocument {
    /// Stock keeping unit.
    pub sku: Sku,
    /// Where it stands.
    pub status: ProductStatus,
    /// Name shown to buyers.
    pub name: String,
    /// Longer text, may be empty.
    pub description: String,
    /// Maker or label.
    pub brand: Option<String>,
    /// From the broadest category to the narrowest.
    pub category_path: Vec<String>,
    /// Names and values of its properties.
    pub attributes: Attributes,
    /// How it is taxed.
    pub tax_class: TaxClass,
    /// URLs of pictures and other media, the main one first.
    pub media: Vec<String>,
    /// List price of one unit in each currency, ordered by currency.
    pub prices: Vec<Money>,
    /// When it was started.
    pub drafted_at: Timestamp,
    /// When it was put up for sale.
    pub published_at: Option<Timestamp>,
    /// When it was taken out of sale.
    pub retired_at: Option<Timestamp>,
    /// Its stream's version.
    pub version: Version,
    /// Where its last event stands in the log.
    #[schema(value_type = String, example = "millrace.product.events/0@17")]
    pub position: Position,
}

impl ProductDocument {
    fn drafted(sku: Sku, event: &RecordedEvent) -> Self {
        Self {
            sku,
            status: ProductStatus::Draft,
            name: String::new(),
            description: String::new(),
            brand: None,
            category_path: Vec::new(),
            attributes: Attributes::default(),
            tax_class: TaxClass::default(),
            media: Vec::new(),
            prices: Vec::new(),
            drafted_at: event.metadata.occurred_at,
            published_at: None,
            retired_at: None,
            version: event.metadata.version,
            position: event.position.clone(),
        }
    }

    fn describe(&mut self, description: &ProductDescription) {
        let ProductDescription { name, description, brand, category_path, attributes, tax_class, media } =
            description.clone();
        self.name = name;
        self.description = description;
        self.brand = brand;
        self.category_path = category_path;
        self.attributes = attributes;
        self.tax_class = tax_class;
        self.media = media;
    }

    fn price(&mut self, price: Money) {
        match self.prices.binary_search_by_key(&price.currency, |known| known.currency) {
            Ok(at) => self.prices[at] = price,
            Err(at) => self.prices.insert(at, price),
        }
    }
}

/// The products.
pub struct Products;

impl Projection for Products {
    type Document = ProductDocument;
    const TABLE: Table = Table::new("product", 1);
    const TOPICS: &'static [AggregateType] = &[AggregateType::Product];
    const KEY: Key = Key::Stream;

    fn rows(event: &RecordedEvent, rows: &mut Vec<RowId>) {
        rows.push(RowId::of(event.metadata.stream.id()));
    }

    fn fold(
        _: &RowId,
        document: Option<ProductDocument>,
        event: &RecordedEvent,
    ) -> Result<Option<ProductDocument>, FoldError> {
        let Event::Product(body) = &event.event else { return Ok(document) };
        let mut product = match (document, body) {
            (Some(product), _) => product,
            (None, ProductEvent::Drafted(drafted)) => ProductDocument::drafted(drafted.sku.clone(), event),
            (None, other) => return Err(FoldError::NotStarted { what: other.ce_type() }),
        };
        match body {
            ProductEvent::Drafted(drafted) => product.describe(&drafted.description),
            ProductEvent::Described(described) => product.describe(&described.description),
            ProductEvent::Priced(priced) => product.price(priced.price),
            ProductEvent::Published(_) => {
                product.status = ProductStatus::Published;
                product.published_at = Some(event.metadata.occurred_at);
            }
            ProductEvent::Retired(_) => {
                product.status = ProductStatus::Retired;
                product.retired_at = Some(event.metadata.occurred_at);
            }
        }
        product.version = event.metadata.version;
        product.position = event.position.clone();
        Ok(Some(product))
    }
}
