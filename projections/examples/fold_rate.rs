//! How many events a second one projector applies: fills an embedded log in a temporary folder with the history of a
//! small shop, runs the standard projections over it from nothing, prints rate and time.
//!
//! `cargo run --release -p projections --features test-support --example fold_rate [EVENTS]`

use std::sync::Arc;
use std::time::{Duration, Instant};

use event_log::{EmbeddedConfig, EmbeddedLog, Log, LogConfig};
use projections::test_support::{NAMESPACE, append, shop};
use projections::{Catalogue, Projector, ProjectorConfig, STANDARD_TABLES, Sharing};
use read_store::{FjallConfig, FjallStore, ReadStore};
use schemas::Positions;
use service_kit::{Health, Tasks};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wanted: usize = std::env::args().nth(1).map_or(Ok(200_000), |text| text.parse())?;
    // About 14 events a step; the numbers are spread so that every kind of step comes.
    let steps: Vec<u8> = (0..wanted / 14).map(|n| (n * 37 % 251) as u8).collect();
    let shop = shop(1, &steps);
    let folder = tempfile::tempdir()?;
    let log = LogConfig {
        namespace: NAMESPACE.to_owned(),
        partitions: 1,
        batch_bytes_max: 1 << 30,
        batch_records_max: usize::MAX,
        ..LogConfig::default()
    };
    let log: Arc<dyn Log> = Arc::new(EmbeddedLog::open(EmbeddedConfig {
        log,
        path: folder.path().join("log"),
        ..EmbeddedConfig::default()
    })?);
    for events in shop.events().chunks(5_000) {
        append(&*log, events);
    }
    let store: Arc<dyn ReadStore> = Arc::new(FjallStore::open(FjallConfig {
        path: folder.path().join("read"),
        ..FjallConfig::default()
    })?);
    let catalogue = Catalogue::standard();
    let projector = Projector::open(log, store, catalogue, ProjectorConfig::default()).await?;
    let (tasks, progress) = (Tasks::new(), projector.progress());
    let ends: Positions = shop.events().iter().map(|event| event.position.clone()).collect();
    let started = Instant::now();
    projector.start(Sharing::Alone, &tasks, &Health::new());
    progress.wait(STANDARD_TABLES, &ends, Duration::from_secs(600)).await?;
    let took = started.elapsed();
    let count = shop.events().len();
    println!(
        "{count} events in {:.2} s: {:.0} events/s on one partition",
        took.as_secs_f64(),
        count as f64 / took.as_secs_f64()
    );
    tasks.shutdown(Duration::from_secs(10)).await?;
    Ok(())
}
