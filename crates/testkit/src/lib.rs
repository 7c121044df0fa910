//! Test helpers: the platform as a process of its own, in both shapes.
//!
//! [`TestApp`] starts the real program on a free port with a folder of its own and ends it, gently or not. Waiting is
//! always for a condition with a deadline, never for a time. [`load`] is clients at random, [`history`] what they were told,
//! held against the log. [`Description`] holds answers against an OpenAPI document.

mod app;
mod description;
pub mod history;
pub mod load;
mod shape;
mod small_disk;

pub use app::{Answer, TestApp};
pub use description::Description;
pub use shape::Shape;
pub use small_disk::SmallDisk;

use std::future::Future;
use std::time::{Duration, Instant};

/// How long a condition may take to come true.
pub const SOON: Duration = Duration::from_secs(60);

/// Polls `probe` until it gives something; panics with `what` when that takes longer than [`SOON`].
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut probe: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {} s: {what}", SOON.as_secs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
