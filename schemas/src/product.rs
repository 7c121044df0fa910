//! What is sold: commands and events of the product aggregate.

use std::collections::BTreeMap;

use apache_avro::AvroSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Money, Sku};

/// How a product is taxed; rates belong to the shop's configuration, not to the product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaxClass {
    /// The usual rate.
    #[default]
    Standard,
    /// A reduced rate.
    Reduced,
    /// Taxed at nothing.
    Zero,
    /// Outside of the tax.
    Exempt,
}

avro_enum!(TaxClass, "How a product is taxed; rates belong to the shop's configuration, not to the product.": "standard", "reduced", "zero", "exempt");

/// Names and values of a product's properties, ordered by name, so that equal attributes are equal bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Attributes(pub BTreeMap<String, String>);

avro_as!(Attributes, apache_avro::Schema::map(apache_avro::Schema::String).build());

/// What is said about a product.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, AvroSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[avro(namespace = "millrace")]
pub struct ProductDescription {
    /// Name shown to buyers, 1 to 300 characters.
    pub name: String,
    /// Longer text, may be empty; at most 20,000 characters.
    #[serde(default)]
    #[avro(default = r#""""#)]
    pub description: String,
    /// Maker or label.
    #[serde(default)]
    #[avro(default = "null")]
    pub brand: Option<String>,
    /// From the broadest category to the narrowest, for example `["Kitchen", "Baking"]`.
    #[serde(default)]
    #[avro(default = "[]")]
    pub category_path: Vec<String>,
    /// Typed by convention of the shop, for example `colour: red`.
    #[serde(default)]
    #[avro(default = "{}")]
    pub attributes: Attributes,
    /// How it is taxed.
    #[serde(default)]
    #[avro(default = r#""standard""#)]
    pub tax_class: TaxClass,
    /// URLs of pictures and other media, the main one first.
    #[serde(default)]
    #[avro(default = "[]")]
    pub media: Vec<String>,
}

/// What one can ask of a product.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum ProductCommand {
    /// Start a product, not for sale yet.
    Draft(ProductDescription),
    /// Replace what is said about it.
    Describe(ProductDescription),
    /// Set its list price in one currency.
    Price(SetPrice),
    /// Put it up for sale.
    Publish(PublishProduct),
    /// Take it out of sale for good.
    Retire(RetireProduct),
}

/// Set the list price in the price's currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPrice {
    /// Price of one unit, not negative.
    pub price: Money,
}

/// Put the product up for sale; it needs a price.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishProduct {}

/// Take the product out of sale for good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetireProduct {
    /// Why, for people.
    #[serde(default)]
    pub reason: String,
}

/// A product was started; it is not for sale yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.product.v1")]
pub struct ProductDrafted {
    /// Stock keeping unit.
    pub sku: Sku,
    /// What is said about it.
    pub description: ProductDescription,
}

/// What is said about a product was replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.product.v1")]
pub struct ProductDescribed {
    /// Stock keeping unit.
    pub sku: Sku,
    /// What is said about it from now on.
    pub description: ProductDescription,
}

/// A product has a new list price in the price's currency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.product.v1")]
pub struct ProductPriced {
    /// Stock keeping unit.
    pub sku: Sku,
    /// Price of one unit.
    pub price: Money,
    /// The price in that currency before; none: it had none.
    pub previous: Option<Money>,
}

/// A product is for sale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.product.v1")]
pub struct ProductPublished {
    /// Stock keeping unit.
    pub sku: Sku,
}

/// A product is out of sale for good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.product.v1")]
pub struct ProductRetired {
    /// Stock keeping unit.
    pub sku: Sku,
    /// Why, for people.
    pub reason: String,
}

events! {
    /// What happened to a product.
    ProductEvent of Product {
        Drafted(ProductDrafted) = "product.drafted" v 1,
        Described(ProductDescribed) = "product.described" v 1,
        Priced(ProductPriced) = "product.priced" v 1,
        Published(ProductPublished) = "product.published" v 1,
        Retired(ProductRetired) = "product.retired" v 1,
    }
}
