//! A load generator for HTTP/1.1 servers on this machine.
//!
//! It writes requests by hand onto keep-alive connections of tokio and reads just as much of an answer as the count needs,
//! all on one thread. The reason: client, server and store share two cores here, so an ordinary HTTP client (tasks, header
//! maps, pools) would be half of what is measured.
//!
//! - [`closed`]: N connections, each with one request in flight. Latency from the sending.
//! - [`open`]: arrivals at a fixed rate, whatever the server does. Latency from the instant at which a request was *due*, so
//!   that a stalled server cannot hide what it made wait; arrivals that find no free connection queue, and give up when they
//!   have waited longer than their patience.
//! - [`bulk`], [`bulk_once`]: NDJSON requests of many lines, several at a time, counted by line.
//!
//! What is asked comes from a [`Requests`] per connection, which also judges the answers: only what it calls accepted counts
//! as such. Every run is bounded by time and by count, and its warm-up is not recorded. Not an HTTP client for anything else:
//! no TLS, no redirects, no name resolution, no retries; whatever it does not expect ends the run with an error.

mod bulk;
mod closed;
mod connection;
mod keys;
mod open;
mod requests;
mod response;
mod run;
mod schedule;
mod tally;
#[cfg(test)]
mod tests;

pub use bulk::{BulkRequest, bulk, bulk_once};
pub use closed::closed;
pub use connection::Connection;
pub use keys::Keys;
pub use open::{Open, open};
pub use requests::{Requests, Verdict, post};
pub use response::{Fed, ResponseDecoder, ResponseError};
pub use run::Bounds;
pub use schedule::{Schedule, Turn};
pub use tally::{Latency, Tally};
