//! What is decided: the aggregates of the shop, on `cqrs_es::Aggregate`.
//!
//! An aggregate is a state folded from its events (`apply`) and the rules by which commands become events (`handle`).
//! The rules of one command are a function from the state to events or a named error, one guard clause a rule; the
//! events are written only after all guards have passed, so a refused command has no effect. A command that wants what
//! is already so is accepted and writes nothing.
//!
//! There is no IO here, no clock, no randomness and no task: time, new ids and prices come in with the command.
//! Loading, versions, dedupe and durability are the business of `aggregate-host`, which drives everything through
//! [`State`].
//!
//! ```
//! use aggregates::State;
//! use schemas::stock::{ReceiveStock, StockCommand};
//! use schemas::{AggregateType, Command, Quantity, Sku};
//!
//! let mut stock = State::new(AggregateType::Stock);
//! let delivery = ReceiveStock { quantity: Quantity::new(12).unwrap(), reference: None };
//! let command = Command::Stock { id: Sku::new("85123A").unwrap(), body: StockCommand::Receive(delivery) };
//! let events = stock.decide(&command).unwrap();
//! assert_eq!(events[0].ce_type(), "millrace.stock.received.v1");
//! assert_eq!(stock.as_stock().unwrap().levels().available, 12);
//! ```

#[macro_use]
mod error;

mod cart;
mod customer;
mod limits;
mod order;
mod payment;
mod product;
mod shipment;
mod state;
mod stock;

pub use cart::{Cart, CartError, CartStatus};
pub use customer::{Customer, CustomerError};
pub use error::DomainError;
pub use limits::AMOUNT_MINOR_MAX;
pub use order::{Order, OrderError};
pub use payment::{Payment, PaymentError, PaymentStatus};
pub use product::{Product, ProductError, ProductStatus};
pub use shipment::{Shipment, ShipmentError};
pub use state::{ForeignEvent, STATE_SHAPE, State};
pub use stock::{LEVEL_MAX, Stock, StockError};
