//! Ids: validated strings for business things, UUIDs for commands and correlations.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing was given.
    #[error("{kind} is empty")]
    Empty {
        /// The id's type.
        kind: &'static str,
    },
    /// Longer than 128 bytes.
    #[error("{kind} is {bytes} bytes long, at most 128 are allowed")]
    TooLong {
        /// The id's type.
        kind: &'static str,
        /// How long it is, bytes.
        bytes: usize,
    },
    /// A character outside of the stated alphabet, or a space at either end.
    #[error("{kind} has the character {character:?} at byte {at}, which ids may not have there")]
    Character {
        /// The id's type.
        kind: &'static str,
        /// The offending character.
        character: char,
        /// Its byte offset.
        at: usize,
    },
    /// Not a UUID.
    #[error("{kind} is not a UUID: {value:?}")]
    NotUuid {
        /// The id's type.
        kind: &'static str,
        /// What was given.
        value: String,
    },
}

/// Longest id, bytes.
pub(crate) const ID_BYTES_MAX: usize = 128;

pub(crate) fn check(kind: &'static str, value: &str) -> Result<(), IdError> {
    if value.is_empty() {
        return Err(IdError::Empty { kind });
    }
    if value.len() > ID_BYTES_MAX {
        return Err(IdError::TooLong { kind, bytes: value.len() });
    }
    let last = value.len() - 1;
    for (at, character) in value.char_indices() {
        let allowed = matches!(character, 'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '_' | '-' | '~' | ':' | '@' | '+')
            || (character == ' ' && at != 0 && at != last);
        if !allowed {
            return Err(IdError::Character { kind, character, at });
        }
    }
    Ok(())
}

string_id!(
    /// Stock keeping unit: names a product and its stock.
    Sku
);
string_id!(
    /// Names an order.
    OrderId
);
string_id!(
    /// Names a cart.
    CartId
);
string_id!(
    /// Names a payment. The payment of an order has the order's id.
    PaymentId
);
string_id!(
    /// Names a customer.
    CustomerId
);
string_id!(
    /// Names a shipment.
    ShipmentId
);
string_id!(
    /// Names one of a customer's addresses.
    AddressId
);

impl OrderId {
    /// The payment of this order.
    pub fn payment_id(&self) -> PaymentId {
        PaymentId::new(self.as_str()).expect("an order id has a payment id's alphabet and length")
    }
}

impl PaymentId {
    /// The order that this payment pays.
    pub fn order_id(&self) -> OrderId {
        OrderId::new(self.as_str()).expect("a payment id has an order id's alphabet and length")
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID.
            pub const fn new(value: Uuid) -> Self {
                Self(value)
            }

            /// The UUID.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(value: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(value)
                    .map(Self)
                    .map_err(|_| IdError::NotUuid { kind: stringify!($name), value: value.chars().take(64).collect() })
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_id!(
    /// Names one command, whoever repeats it. The same id always has the same outcome.
    CommandId
);
uuid_id!(
    /// Ties together everything that one request set off.
    CorrelationId
);

/// Namespace of every name-based UUID that Millrace derives (RFC 9562 version 5).
const NAMESPACE: Uuid = Uuid::from_u128(0x6d69_6c6c_7261_6365_8e0d_5f2b_9c4a_7e11);

impl CommandId {
    /// The command id of an `Idempotency-Key`, scoped to the principal that sent it.
    pub fn from_idempotency_key(principal: &crate::Principal, key: &str) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, format!("key\n{principal}\n{key}").as_bytes()))
    }

    /// The command id of one step that follows from an event: the same event and step give the same id, so that
    /// redelivery is harmless.
    pub fn from_event(event: &EventId, step: &str) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, format!("event\n{event}\n{step}").as_bytes()))
    }

    /// A business id derived from this command id (32 hex digits), so that repeating the command reaches the same
    /// stream.
    pub fn derived_id(&self) -> String {
        Uuid::new_v5(&NAMESPACE, self.0.as_bytes()).simple().to_string()
    }
}

impl From<CommandId> for CorrelationId {
    fn from(id: CommandId) -> Self {
        Self(id.0)
    }
}

/// Names one event for ever: `<aggregate>/<id>/<version>`, the record's `ce_id`.
///
/// Spaces in the id are written `%20`, since a CloudEvents id ends up in URLs and headers.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "order/536365/1")]
pub struct EventId(String);

impl EventId {
    /// The id of the event at `version` of `stream`.
    pub fn new(stream: &crate::StreamId, version: crate::Version) -> Self {
        Self(format!("{}/{}/{}", stream.aggregate_type(), stream.id().replace(' ', "%20"), version))
    }

    /// Takes over an id read from a record.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Debug for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_refuse_what_their_alphabet_lacks_and_say_where() {
        assert_eq!(Sku::new(""), Err(IdError::Empty { kind: "Sku" }));
        assert_eq!(Sku::new("a/b"), Err(IdError::Character { kind: "Sku", character: '/', at: 1 }));
        assert_eq!(Sku::new(" a"), Err(IdError::Character { kind: "Sku", character: ' ', at: 0 }));
        assert_eq!(Sku::new("x".repeat(129)), Err(IdError::TooLong { kind: "Sku", bytes: 129 }));
        assert_eq!(Sku::new("BANK CHARGES").unwrap().as_str(), "BANK CHARGES");
    }

    #[test]
    fn the_same_key_of_two_principals_is_two_commands() {
        let (a, b) = (crate::Principal::anonymous(), crate::Principal::new("importer").unwrap());
        assert_ne!(CommandId::from_idempotency_key(&a, "k"), CommandId::from_idempotency_key(&b, "k"));
        assert_eq!(CommandId::from_idempotency_key(&a, "k"), CommandId::from_idempotency_key(&a, "k"));
    }
}
