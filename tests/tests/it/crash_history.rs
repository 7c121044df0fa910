//! Clients at random while the shop is stopped again and again, mostly by `kill -9`: whatever they were told is true.

use testkit::Shape;
use testkit::history::{Evidence, Recorder, Scope, export_log};
use testkit::load::{Load, LoadConfig, Nodes};

use crate::shop::{rounds, seed, start_hastily, verify_settled};

/// Answers between two stops, at random.
const ANSWERS: std::ops::Range<u64> = 100..1_500;
/// Of a hundred stops, how many are gentle.
const GENTLE_PERCENT: u8 = 25;

async fn survives(shape: Shape, stops: u32, seed: u64) {
    let mut app = start_hastily(shape).await;
    let (nodes, recorder) = (Nodes::new([app.url()]), Recorder::new());
    let mut random = fastrand::Rng::with_seed(seed);
    let load = Load::start(LoadConfig { seed, ..LoadConfig::default() }, &nodes, &recorder).await;
    for _ in 0..stops {
        load.answered(random.u64(ANSWERS)).await;
        match random.u8(0..100) < GENTLE_PERCENT {
            true => assert!(app.terminate().success(), "{}", app.log()),
            false => app.kill(),
        }
        app.launch().await;
    }
    load.answered(ANSWERS.start).await;
    load.stop().await;
    let log = export_log(nodes.client(), &app.url()).await.unwrap();
    let report = Evidence { history: recorder.history(), log }.must_be_clean("crash", &Scope::default());
    println!("{:?}, {stops} stops, seed {seed}:\n{report}", app.shape());
    let counts = report.counts;
    assert!(counts.accepted > 0 && counts.unchanged > 0 && counts.rejected > 0, "{report}");
    assert!(counts.replayed > 0 && counts.unknown > 0 && counts.of_others > 0, "{report}");
    assert!(counts.writer_terms > stops as usize, "every start is a term of its own: {report}");
    verify_settled(&app).await;
}

/// Clients go on while the shop ends: on threads of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_were_told_is_true_however_often_the_shop_is_stopped() {
    for shape in Shape::all() {
        survives(shape, rounds().unwrap_or(4), seed(11)).await;
    }
}
