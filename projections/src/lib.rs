//! Events to read models: the projections, and the projector that runs them.
//!
//! A [`Projection`] is a pure mapping: which rows an event touches, and what each becomes. Every row is made of one
//! partition of one topic ([`read_store::Source`]), holds absolute values, and skips events at or below the last one it
//! knows, so that folding an event twice is folding it once. What has several sources is several rows, put together
//! by the reader. The [`Projector`] reads partition k of every event topic on a thread of its own and writes rows and
//! checkpoint in one atomic batch; [`Progress`] says how far that is, and lets a reader wait for a position.
//!
//! An event that cannot be folded goes to the dead letters with its key ([`DeadLetters`]); a table can be built anew beside the
//! one that serves ([`Views`], [`ServingStore`]). Several processes that fill one store share the partitions ([`Sharing`]).
//!
//! This crate knows events only: no rule of the shop (`aggregates`), no HTTP (`query-api`).
//!
//! ```
//! use projections::Projection;
//! assert_eq!(projections::Orders::TABLE.to_string(), "order_v1");
//! ```

mod cart;
mod catalogue;
mod compare;
mod customer;
mod customer_orders;
mod dead_letter;
mod error;
mod folder;
mod follower;
mod metrics;
mod order;
mod payment;
mod product;
mod progress;
mod projection;
mod projector;
mod serving;
mod shipment;
mod stock;
mod stream;
#[cfg(any(test, feature = "test-support"))]
pub mod test_support;
mod totals;
mod views;

pub use cart::{CartDocument, CartStatus, Carts};
pub use catalogue::{Catalogue, STANDARD_TABLES};
pub use compare::{Comparison, DifferingRow};
pub use customer::{AccountCredit, CustomerAccounts, CustomerAddress, CustomerCredits, CustomerDocument};
pub use customer_orders::{
    CustomerMoney, CustomerOrder, CustomerOrders, CustomerOrdersDocument, OrdersOfCustomer,
};
pub use dead_letter::{DeadLetter, DeadLetters, LetterAction, LetterId, LetterState, RequestError};
pub use error::{Error, FoldError};
pub use follower::Follower;
pub use metrics::describe as describe_metrics;
pub use order::{Cancellation, OrderDocument, OrderLineDocument, Orders};
pub use payment::{Decline, Movement, MovementStatus, PaymentDocument, PaymentStatus, Payments};
pub use product::{ProductDocument, ProductStatus, Products};
pub use progress::{Behind, HoldStatus, PartitionState, PartitionStatus, Progress, ProjectionStatus};
pub use projection::{Key, Projection, RowId};
pub use projector::{Projector, ProjectorConfig, Sharing};
pub use serving::ServingStore;
pub use shipment::{ShipmentDocument, ShipmentFailure, Shipments, ShipmentsOfOrder, TrackingEntry};
pub use stock::{LowStock, Stock, StockDocument};
pub use stream::{StreamEntry, Streams};
pub use totals::{DayMoney, DayTotals, TotalsByDay};
pub use views::{Build, Purpose, ViewError, ViewState, Views};
