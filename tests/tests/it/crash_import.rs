//! An import whose shop, and which itself, is killed at random moments comes to the same as one that nobody disturbed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use schemas::Principal;
use serde_json::Value;
use testkit::history::{Evidence, History, Scope, export_log};
use testkit::{SOON, Shape, TestApp};
use tokio::process::{Child, Command};

use crate::shop::{PROGRAM, log_records, rounds, seed, start_patiently, verify_settled};

/// What belongs to one run of the command and not to the shop.
const OF_ONE_RUN: [&str; 3] = ["new_events", "replayed", "seconds"];
/// What of a verification follows from the data alone.
const FROM_THE_DATA: [&str; 11] = [
    "skus",
    "on_hand_units",
    "reserved_units",
    "orders",
    "delivered_orders",
    "cancelled_orders",
    "payments",
    "authorised",
    "captured",
    "voided",
    "refunded",
];
/// How often a moment is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// An import that makes no way for so long is stuck.
const STUCK: Duration = Duration::from_secs(300);

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/sample/online-retail-two-weeks.csv.gz")
}

/// What imports write to stderr.
fn said_file(app: &TestApp) -> PathBuf {
    app.data_dir().with_file_name("import.log")
}

/// Starts an import; dropping it kills it.
fn begin(app: &TestApp) -> Child {
    let mut command = Command::new(PROGRAM);
    command.args(["import", "online-retail"]).arg(sample()).args(["--url", &app.url(), "--json"]);
    let said = File::options().create(true).append(true).open(said_file(app)).unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(said).kill_on_drop(true);
    command.spawn().expect("the program can be started")
}

/// Waits for the end of an import, and begins another one when it broke off; its closing object.
async fn finish(app: &TestApp, mut importing: Child) -> Value {
    let deadline = Instant::now() + STUCK;
    loop {
        let output = importing.wait_with_output().await.expect("a child can be waited for");
        if output.status.success() {
            return serde_json::from_slice(&output.stdout).unwrap();
        }
        // 2: it broke off. 1 would mean that something of the file is not in the shop.
        let may_go_on = output.status.code() != Some(1) && Instant::now() < deadline;
        assert!(may_go_on, "{}{}", std::fs::read_to_string(said_file(app)).unwrap(), app.log());
        importing = begin(app);
    }
}

/// The figures of an import, and what a verification says of the shop.
async fn figures(app: &TestApp, mut closing: Value) -> (Value, Vec<Value>) {
    for name in OF_ONE_RUN {
        assert!(closing.as_object_mut().unwrap().remove(name).is_some(), "{closing}");
    }
    let report = verify_settled(app).await;
    (closing, FROM_THE_DATA.iter().map(|name| report[name].clone()).collect())
}

/// Kills the shop (every other time the import, too) at moments spread at random over an import that makes so many
/// records; then lets it come to its end.
async fn disturbed(shape: Shape, kills: u32, records_in_all: u64, seed: u64) -> (Value, Vec<Value>) {
    let mut app = start_patiently(shape).await;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut moments: Vec<_> = (0..kills).map(|_| random.u64(1..records_in_all)).collect();
    moments.sort_unstable();
    let mut importing = begin(&app);
    for (number, moment) in moments.into_iter().enumerate() {
        let deadline = Instant::now() + STUCK;
        while log_records(&app).await < moment {
            if importing.try_wait().unwrap().is_some_and(|status| !status.success()) {
                // It broke off, or was killed.
                importing = begin(&app);
            }
            assert!(Instant::now() < deadline, "not within {} s: {moment} records", STUCK.as_secs());
            tokio::time::sleep(LOOK_EVERY).await;
        }
        app.kill();
        if number % 2 == 1 {
            importing.kill().await.unwrap();
        }
        app.launch().await;
    }
    let closing = finish(&app, importing).await;
    let figures = figures(&app, closing).await;
    let client = reqwest::Client::builder().timeout(SOON).build().unwrap();
    let log = export_log(&client, &app.url()).await.unwrap();
    let scope = Scope::default().with(Principal::new("importer").unwrap());
    let report = Evidence { history: History::default(), log }.must_be_clean("import", &scope);
    println!("{:?}, {kills} kills, seed {seed}:\n{report}", app.shape());
    assert!(report.counts.events > 0 && report.counts.writer_terms > kills as usize, "{report}");
    figures
}

#[tokio::test]
async fn an_import_that_is_killed_and_resumed_comes_to_what_an_undisturbed_one_does() {
    let app = start_patiently(Shape::Embedded).await;
    let closing = finish(&app, begin(&app)).await;
    let expected = figures(&app, closing).await;
    let records_in_all = log_records(&app).await;
    drop(app);
    for shape in Shape::all() {
        let found = disturbed(shape, rounds().unwrap_or(2), records_in_all, seed(3)).await;
        assert_eq!(found, expected);
    }
}
