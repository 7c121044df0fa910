//! Customers.

use schemas::customer::{
    CreditAccount, CreditKind, CustomerCommand, CustomerProfile, PutAddress, RecordConsent,
    RecordInteraction, RemoveAddress, Tag,
};
use schemas::order::PostalAddress;
use schemas::{AddressId, Command, CustomerId, Money, OrderId, Reference};
use serde::{Deserialize, Serialize};
use service_kit::problem_codes;
use utoipa::ToSchema;

use crate::answer::{CommandHeaders, Created, Done};
use crate::call::Call;
use crate::extract::{Body, Params};
use crate::refusals::{BodilessResponses, Responses};

use super::Reply;

problem_codes! {
    /// Of becoming a customer.
    NewCustomerRules: CustomerExists;
    /// Of a customer who is there.
    CustomerRules: CustomerNotFound, AddressNotFound, CustomerLimit;
    /// Of a customer's account.
    AccountRules: CustomerNotFound, ReferenceReused, CurrencyMismatch;
}

/// A customer to be. An empty field is unknown.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCustomer {
    /// The customer's id; none: one is made.
    #[serde(default)]
    id: Option<CustomerId>,
    /// Full name.
    #[serde(default)]
    name: String,
    /// Email addresses, the main one first.
    #[serde(default)]
    emails: Vec<String>,
    /// Telephone numbers, the main one first.
    #[serde(default)]
    phones: Vec<String>,
    /// Language tag (BCP 47), for messages.
    #[serde(default)]
    locale: String,
    /// Country, as the shop names it or ISO 3166-1 alpha-2.
    #[serde(default)]
    country: String,
}

/// Money for a customer's account.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credit {
    /// The document, credited once; none: this request.
    #[serde(default)]
    reference: Option<Reference>,
    /// In the customer's favour when positive.
    amount: Money,
    /// Which kind; none: a note of its own.
    #[serde(default)]
    kind: Option<CreditKind>,
    /// The order it goes back to.
    #[serde(default)]
    order_id: Option<OrderId>,
    /// Why, for people.
    #[serde(default)]
    reason: String,
}

/// Become a customer.
#[utoipa::path(
    post,
    path = "/v1/customers",
    tag = "customers",
    params(CommandHeaders),
    request_body = NewCustomer,
    responses(Responses<Created, NewCustomerRules>),
)]
pub(crate) async fn register(call: Call, Body(body): Body<NewCustomer>) -> Reply {
    let NewCustomer { id, name, emails, phones, locale, country } = body;
    let id = call.id_or_derived(id);
    let profile = CustomerProfile { name, emails, phones, locale, country };
    let command = Command::Customer { id, body: CustomerCommand::Register(profile) };
    Ok(call.submit(command).await?.created("/v1/customers"))
}

/// Replace what is known of a customer.
#[utoipa::path(
    put,
    path = "/v1/customers/{id}",
    tag = "customers",
    params(("id" = CustomerId, Path, description = "Which"), CommandHeaders),
    request_body = CustomerProfile,
    responses(Responses<Done, CustomerRules>),
)]
pub(crate) async fn change_profile(
    call: Call,
    Params(id): Params<CustomerId>,
    Body(body): Body<CustomerProfile>,
) -> Reply {
    call.submit(Command::Customer { id, body: CustomerCommand::ChangeProfile(body) }).await
}

/// Add or replace an address.
#[utoipa::path(
    put,
    path = "/v1/customers/{id}/addresses/{address_id}",
    tag = "customers",
    params(("id" = CustomerId, Path, description = "Which"), ("address_id" = AddressId, Path, description = "Which address"), CommandHeaders),
    request_body = PostalAddress,
    responses(Responses<Done, CustomerRules>),
)]
pub(crate) async fn put_address(
    call: Call,
    Params((id, address_id)): Params<(CustomerId, AddressId)>,
    Body(address): Body<PostalAddress>,
) -> Reply {
    let put = PutAddress { address_id, address };
    call.submit(Command::Customer { id, body: CustomerCommand::PutAddress(put) }).await
}

/// Remove an address.
#[utoipa::path(
    delete,
    path = "/v1/customers/{id}/addresses/{address_id}",
    tag = "customers",
    params(("id" = CustomerId, Path, description = "Which"), ("address_id" = AddressId, Path, description = "Which address"), CommandHeaders),
    responses(BodilessResponses<Done, CustomerRules>),
)]
pub(crate) async fn remove_address(
    call: Call,
    Params((id, address_id)): Params<(CustomerId, AddressId)>,
) -> Reply {
    let remove = RemoveAddress { address_id };
    call.submit(Command::Customer { id, body: CustomerCommand::RemoveAddress(remove) }).await
}

/// Allow or forbid a purpose.
#[utoipa::path(
    post,
    path = "/v1/customers/{id}/consents",
    tag = "customers",
    params(("id" = CustomerId, Path, description = "Which"), CommandHeaders),
    request_body = RecordConsent,
    responses(Responses<Done, CustomerRules>),
)]
pub(crate) async fn record_consent(
    call: Call,
    Params(id): Params<CustomerId>,
    Body(body): Body<RecordConsent>,
) -> Reply {
    call.submit(Command::Customer { id, body: CustomerCommand::RecordConsent(body) }).await
}

/// Note what a customer did.
#[utoipa::path(
    post,
    path = "/v1/customers/{id}/interactions",
    tag = "customers",
    params(("id" = CustomerId, Path, description = "Which"), CommandHeaders),
    request_body = RecordInteraction,
    responses(Responses<Done, CustomerRules>),
)]
pub(crate) async fn record_interaction(
    call: Call,
    Params(id): Params<CustomerId>,
    Body(body): Body<RecordInteraction>,
) -> Reply {
    call.submit(Command::Customer { id, body: CustomerCommand::RecordInteraction(body) }).await
}

/// Give a customer a tag.
#[utoipa::path(
    put,
    path = "/v1/customers/{id}/tags/{tag}",
    tag = "customers",
    params(("id" = CustomerId, Path, description = "Which"), ("tag" = String, Path, description = "1 to 64 characters"), CommandHeaders),
    responses(BodilessResponses<Done, CustomerRules>),
)]
pub(crate) async fn add_tag(call: Call, Params((id, tag)): Params<(CustomerId, String)>) -> Reply {
    call.submit(Command::Customer { id, body: CustomerCommand::AddTag(Tag { tag }) }).await
}

/// Take a tag from a customer.
#[utoipa::path(
    delete,
    path = "/v1/customers/{id}/tags/{tag}",
    tag = "customers",
    params(("id" = CustomerId, Path, description = "Which"), ("tag" = String, Path, description = "1 to 64 characters"), CommandHeaders),
    responses(BodilessResponses<Done, CustomerRules>),
)]
pub(crate) async fn remove_tag(call: Call, Params((id, tag)): Params<(CustomerId, String)>) -> Reply {
    call.submit(Command::Customer { id, body: CustomerCommand::RemoveTag(Tag { tag }) }).await
}

/// Put money on a customer's account, or take it off.
#[utoipa::path(
    post,
    path = "/v1/customers/{id}/credits",
    tag = "customers",
    params(("id" = CustomerId, Path, description = "Which"), CommandHeaders),
    request_body = Credit,
    responses(Responses<Done, AccountRules>),
)]
pub(crate) async fn credit(call: Call, Params(id): Params<CustomerId>, Body(body): Body<Credit>) -> Reply {
    let credit = CreditAccount {
        reference: call.reference_or_derived(body.reference),
        amount: body.amount,
        kind: body.kind.unwrap_or(CreditKind::Note),
        order_id: body.order_id,
        reason: body.reason,
    };
    call.submit(Command::Customer { id, body: CustomerCommand::Credit(credit) }).await
}
