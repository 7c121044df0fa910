//! Document tables for read models: `(table, partition key, sort key) → JSON document`, written by projectors, read by
//! the query API.
//!
//! [`ReadStore`] is what both program against; [`FjallStore`] keeps its promises in one folder of one process, [`CqlStore`]
//! on a Cassandra or ScyllaDB. The same functions ([`contract`]) are run on every backend. This crate stores bytes: it
//! knows neither events nor what a document says, and it is not a database of record. Everything here can be rebuilt
//! from the log.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! # runtime.block_on(async {
//! use read_store::{Change, ChangeBatch, Checkpoint, FjallConfig, FjallStore, ReadStore, RowKey, Source, Table};
//!
//! const ORDERS: Table = Table::new("order", 1);
//! let store = FjallStore::open(FjallConfig { path: folder.path().join("read"), ..FjallConfig::default() })?;
//! let source = Source::new("millrace.order.events", 0);
//! let key = RowKey::new(ORDERS, "536365", "");
//! store
//!     .apply(ChangeBatch {
//!         changes: vec![Change::put(key.clone(), r#"{"id":"536365"}"#, source.clone(), 17)],
//!         checkpoints: vec![Checkpoint { table: ORDERS, source, next_offset: 18 }],
//!     })
//!     .await?;
//! assert_eq!(store.get(&key).await?.map(|row| row.last_offset), Some(17));
//! # Ok::<_, read_store::Error>(())
//! # })?;
//! # Ok(())
//! # }
//! ```

mod change;
pub mod contract;
mod cql_store;
mod error;
mod fjall_store;
mod row;
mod store;
mod table;

pub use change::{Change, ChangeBatch, Checkpoint};
pub use cql_store::{Consistency, CqlConfig, CqlStore};
pub use error::Error;
pub use fjall_store::{FjallConfig, FjallStore};
pub use row::{Row, RowKey, Source};
pub use store::{Page, PageCursor, ReadStore};
pub use table::Table;
