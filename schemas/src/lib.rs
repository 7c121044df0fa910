//! What can be said on Millrace: ids, money, positions, commands, events, error codes and the Avro schemas of the
//! event bodies.
//!
//! This crate is the vocabulary that every other crate shares. It holds no behaviour of the shop (that is
//! `aggregates`), no IO and no clock. An event type here is a promise to every consumer of the topics: its released
//! schema (`schemas/avro/*.avsc`) never changes; a change of shape is a new version with an upcaster.
//!
//! ```
//! use schemas::{Currency, Money};
//! let price: Money = Money::new(255, "GBP".parse::<Currency>().unwrap());
//! assert_eq!(price.to_string(), "2.55 GBP");
//! ```

#[macro_use]
mod macros;

mod aggregate_type;
mod avro;
pub mod cart;
mod command;
pub mod customer;
mod error_code;
mod event;
mod id;
mod installation_secret;
mod money;
pub mod order;
mod outcome;
pub mod payment;
mod position;
mod principal;
pub mod product;
mod quantity;
mod reference;
pub mod shipment;
pub mod stock;
mod time;
mod upcast;
mod version;

pub use aggregate_type::{AggregateType, StreamId};
pub use avro::{
    AvroError, EventSchema, SchemaId, decode_event, encode_event, event_schemas, schema_by_id, schema_by_type,
};
pub use command::{Command, CommandEnvelope, CommandHash};
pub use error_code::{ErrorCode, Retry};
pub use event::{Event, EventMetadata, RecordedEvent};
pub use id::{
    AddressId, CartId, CommandId, CorrelationId, CustomerId, EventId, IdError, OrderId, PaymentId,
    ShipmentId, Sku,
};
pub use installation_secret::{InstallationSecret, Proof, ProofError};
pub use money::{Currency, Money, MoneyError};
pub use outcome::{Accepted, Outcome, Rejection};
pub use position::{Position, PositionError, Positions};
pub use principal::Principal;
pub use quantity::{Quantity, QuantityError};
pub use reference::{Reference, ReferenceError};
pub use time::Timestamp;
pub use upcast::{Upcaster, upcast};
pub use version::{ExpectedVersion, Version};
