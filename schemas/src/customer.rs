//! Who buys: commands and events of the customer aggregate.

use apache_avro::AvroSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::order::PostalAddress;
use crate::{AddressId, CustomerId, Money, OrderId, Reference, Sku, Timestamp};

/// What is known of a customer. An empty field is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, AvroSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[avro(namespace = "millrace")]
pub struct CustomerProfile {
    /// Full name.
    #[serde(default)]
    pub name: String,
    /// Email addresses, the main one first.
    #[serde(default)]
    pub emails: Vec<String>,
    /// Telephone numbers, the main one first.
    #[serde(default)]
    pub phones: Vec<String>,
    /// Language tag (BCP 47), for messages.
    #[serde(default)]
    pub locale: String,
    /// Country, as the shop names it or ISO 3166-1 alpha-2.
    #[serde(default)]
    pub country: String,
}

/// What a customer did short of buying.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InteractionKind {
    /// Looked at a product.
    Viewed,
    /// Searched.
    Searched,
    /// Put a product on a wish list.
    Wished,
    /// Rated or reviewed a product.
    Rated,
    /// Opened or clicked a message.
    Responded,
    /// Visited the shop.
    Visited,
}

avro_enum!(InteractionKind, "What a customer did short of buying.": "viewed", "searched", "wished", "rated", "responded", "visited");

/// Why an account was credited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CreditKind {
    /// A credit note or adjustment of its own.
    Note,
    /// Goods came back that no known order explains.
    ReturnWithoutOrder,
    /// A return was worth more than the order line can refund.
    ReturnExcess,
}

avro_enum!(CreditKind, "Why an account was credited.": "note", "return_without_order", "return_excess");

/// What one can ask of a customer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum CustomerCommand {
    /// Become a customer.
    Register(CustomerProfile),
    /// Replace what is known.
    ChangeProfile(CustomerProfile),
    /// Add or replace an address.
    PutAddress(PutAddress),
    /// Remove an address.
    RemoveAddress(RemoveAddress),
    /// Allow or forbid a purpose.
    RecordConsent(RecordConsent),
    /// Note what the customer did.
    RecordInteraction(RecordInteraction),
    /// Add a tag.
    AddTag(Tag),
    /// Remove a tag.
    RemoveTag(Tag),
    /// Put money on the account, or take it off.
    Credit(CreditAccount),
}

/// Add or replace an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutAddress {
    /// Which.
    pub address_id: AddressId,
    /// The address.
    pub address: PostalAddress,
}

/// Remove an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveAddress {
    /// Which.
    pub address_id: AddressId,
}

/// Allow or forbid a purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordConsent {
    /// What for: `newsletter`, `profiling`, …
    pub purpose: String,
    /// Allowed or forbidden.
    pub granted: bool,
    /// Where it was said: a form, a call, a letter.
    pub source: String,
}

/// Note what the customer did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordInteraction {
    /// What.
    pub kind: InteractionKind,
    /// With which product.
    #[serde(default)]
    pub sku: Option<Sku>,
    /// What was searched, rated or responded to, as text.
    #[serde(default)]
    pub detail: String,
    /// Where: `web`, `app`, `shop`, …
    #[serde(default)]
    pub channel: String,
    /// The visit it belongs to.
    #[serde(default)]
    pub session: Option<String>,
}

/// A label on a customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tag {
    /// 1 to 64 characters.
    pub tag: String,
}

/// Put money on the customer's account, or take it off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreditAccount {
    /// The document; the same reference is credited once.
    pub reference: Reference,
    /// In the customer's favour when positive.
    pub amount: Money,
    /// Which kind.
    pub kind: CreditKind,
    /// The order it goes back to.
    #[serde(default)]
    pub order_id: Option<OrderId>,
    /// Why, for people.
    #[serde(default)]
    pub reason: String,
}

/// Somebody became a customer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.customer.v1")]
pub struct CustomerRegistered {
    /// The customer.
    pub customer_id: CustomerId,
    /// What is known.
    pub profile: CustomerProfile,
}

/// What is known of a customer was replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.customer.v1")]
pub struct CustomerProfileChanged {
    /// The customer.
    pub customer_id: CustomerId,
    /// What is known from now on.
    pub profile: CustomerProfile,
}

/// An address was added or replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.customer.v1")]
pub struct CustomerAddressPut {
    /// The customer.
    pub customer_id: CustomerId,
    /// Which.
    pub address_id: AddressId,
    /// The address.
    pub address: PostalAddress,
}

/// An address was removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.customer.v1")]
pub struct CustomerAddressRemoved {
    /// The customer.
    pub customer_id: CustomerId,
    /// Which.
    pub address_id: AddressId,
}

/// A purpose was allowed or forbidden.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.customer.v1")]
pub struct CustomerConsentRecorded {
    /// The customer.
    pub customer_id: CustomerId,
    /// What for.
    pub purpose: String,
    /// Allowed or forbidden.
    pub granted: bool,
    /// Where it was said.
    pub source: String,
}

/// A customer did something short of buying.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.customer.v1")]
pub struct CustomerInteractionRecorded {
    /// The customer.
    pub customer_id: CustomerId,
    /// What.
    pub kind: InteractionKind,
    /// With which product.
    pub sku: Option<Sku>,
    /// What was searched, rated or responded to.
    pub detail: String,
    /// Where.
    pub channel: String,
    /// The visit it belongs to.
    pub session: Option<String>,
}

/// A customer got a tag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.customer.v1")]
pub struct CustomerTagged {
    /// The customer.
    pub customer_id: CustomerId,
    /// The tag.
    pub tag: String,
}

/// A customer lost a tag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.customer.v1")]
pub struct CustomerUntagged {
    /// The customer.
    pub customer_id: CustomerId,
    /// The tag.
    pub tag: String,
}

/// Money was put on a customer's account, or taken off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.customer.v1")]
pub struct CustomerCredited {
    /// The customer.
    pub customer_id: CustomerId,
    /// The document.
    pub reference: Reference,
    /// In the customer's favour when positive.
    pub amount: Money,
    /// Which kind.
    pub kind: CreditKind,
    /// The order it goes back to.
    pub order_id: Option<OrderId>,
    /// Why, for people.
    pub reason: String,
    /// The account afterwards.
    pub balance: Money,
}

/// When a consent was given or withdrawn, as read models show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Consent {
    /// What for.
    pub purpose: String,
    /// Allowed or forbidden.
    pub granted: bool,
    /// Where it was said.
    pub source: String,
    /// When.
    pub recorded_at: Timestamp,
}

events! {
    /// What happened to a customer.
    CustomerEvent of Customer {
        Registered(CustomerRegistered) = "customer.registered" v 1,
        ProfileChanged(CustomerProfileChanged) = "customer.profile_changed" v 1,
        AddressPut(CustomerAddressPut) = "customer.address_put" v 1,
        AddressRemoved(CustomerAddressRemoved) = "customer.address_removed" v 1,
        ConsentRecorded(CustomerConsentRecorded) = "customer.consent_recorded" v 1,
        InteractionRecorded(CustomerInteractionRecorded) = "customer.interaction_recorded" v 1,
        Tagged(CustomerTagged) = "customer.tagged" v 1,
        Untagged(CustomerUntagged) = "customer.untagged" v 1,
        Credited(CustomerCredited) = "customer.credited" v 1,
    }
}
