//! Products.

use schemas::product::{
    Attributes, ProductCommand, ProductDescription, PublishProduct, RetireProduct, SetPrice, TaxClass,
};
use schemas::{Command, Sku};
use serde::{Deserialize, Serialize};
use service_kit::problem_codes;
use utoipa::ToSchema;

use crate::answer::{CommandHeaders, Created, Done};
use crate::call::Call;
use crate::extract::{Body, Params};
use crate::refusals::Responses;

use super::Reply;

problem_codes! {
    /// Of starting a product.
    NewProductRules: ProductExists;
    /// Of a product that is there.
    ProductRules: ProductNotFound, ProductRetired, ProductNotPriced;
}

/// A product to be.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DraftProduct {
    /// Stock keeping unit; none: one is made.
    #[serde(default)]
    sku: Option<Sku>,
    /// Name shown to buyers, 1 to 300 characters.
    name: String,
    /// Longer text; at most 20,000 characters.
    #[serde(default)]
    description: String,
    /// Maker or label.
    #[serde(default)]
    brand: Option<String>,
    /// From the broadest category to the narrowest, for example `["Kitchen", "Baking"]`.
    #[serde(default)]
    category_path: Vec<String>,
    /// By convention of the shop, for example `colour: red`.
    #[serde(default)]
    attributes: Attributes,
    /// How it is taxed.
    #[serde(default)]
    tax_class: TaxClass,
    /// URLs of pictures and other media, the main one first.
    #[serde(default)]
    media: Vec<String>,
}

/// Start a product. It is not for sale yet: price and publish it.
#[utoipa::path(
    post,
    path = "/v1/products",
    tag = "products",
    params(CommandHeaders),
    request_body = DraftProduct,
    responses(Responses<Created, NewProductRules>),
)]
pub(crate) async fn draft(call: Call, Body(body): Body<DraftProduct>) -> Reply {
    let DraftProduct { sku, name, description, brand, category_path, attributes, tax_class, media } = body;
    let id = call.id_or_derived(sku);
    let description =
        ProductDescription { name, description, brand, category_path, attributes, tax_class, media };
    let command = Command::Product { id, body: ProductCommand::Draft(description) };
    Ok(call.submit(command).await?.created("/v1/products"))
}

/// Replace what is said about a product.
#[utoipa::path(
    put,
    path = "/v1/products/{sku}",
    tag = "products",
    params(("sku" = Sku, Path, description = "Which"), CommandHeaders),
    request_body = ProductDescription,
    responses(Responses<Done, ProductRules>),
)]
pub(crate) async fn describe(
    call: Call,
    Params(sku): Params<Sku>,
    Body(body): Body<ProductDescription>,
) -> Reply {
    call.submit(Command::Product { id: sku, body: ProductCommand::Describe(body) }).await
}

/// Set a product's list price in the price's currency.
#[utoipa::path(
    post,
    path = "/v1/products/{sku}/price",
    tag = "products",
    params(("sku" = Sku, Path, description = "Which"), CommandHeaders),
    request_body = SetPrice,
    responses(Responses<Done, ProductRules>),
)]
pub(crate) async fn price(call: Call, Params(sku): Params<Sku>, Body(body): Body<SetPrice>) -> Reply {
    call.submit(Command::Product { id: sku, body: ProductCommand::Price(body) }).await
}

/// Put a product up for sale; it needs a price.
#[utoipa::path(
    post,
    path = "/v1/products/{sku}/publish",
    tag = "products",
    params(("sku" = Sku, Path, description = "Which"), CommandHeaders),
    request_body = PublishProduct,
    responses(Responses<Done, ProductRules>),
)]
pub(crate) async fn publish(call: Call, Params(sku): Params<Sku>, Body(body): Body<PublishProduct>) -> Reply {
    call.submit(Command::Product { id: sku, body: ProductCommand::Publish(body) }).await
}

/// Take a product out of sale for good.
#[utoipa::path(
    post,
    path = "/v1/products/{sku}/retire",
    tag = "products",
    params(("sku" = Sku, Path, description = "Which"), CommandHeaders),
    request_body = RetireProduct,
    responses(Responses<Done, ProductRules>),
)]
pub(crate) async fn retire(call: Call, Params(sku): Params<Sku>, Body(body): Body<RetireProduct>) -> Reply {
    call.submit(Command::Product { id: sku, body: ProductCommand::Retire(body) }).await
}
