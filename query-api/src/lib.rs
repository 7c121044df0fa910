//! Read models over HTTP: `GET` routes under `/v1`, served from the tables that `projections` fills.
//!
//! Every answer says in `Millrace-Position` which positions of the log it reflects at least. A request may name
//! positions in `Millrace-Min-Position` (the `Millrace-Position` of a command's answer, say): the answer then waits for
//! the view to reach them, up to a bound, and is 503 `read_model_behind` beyond it. Topics that a view does not read
//! are ignored. Documents made of one source are passed through as stored; views of several are put together here.
//!
//! Every answer has an `ETag`, and is 304 without a body for whoever names it in `If-None-Match`.
//!
//! This crate decides nothing and writes nothing; commands are `commands-api`. [`router`] is merged with it under one
//! address.

mod app;
mod config;
mod error;
mod etag;
mod page;
mod position;
mod refusals;
mod routes;
mod view;

pub use app::{QueryState, openapi, router};
pub use config::QueryConfig;
pub use page::Page;
pub use position::{MIN_POSITION, POSITION};
pub use routes::customer::{CustomerOrderMoney, CustomerOrderSums, CustomerView};
pub use routes::order::{OrderSummary, OrderView};
pub use routes::report::{DayView, TotalsView};
