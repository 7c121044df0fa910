//! Clients at random while the shop is killed again and again: whatever they were told is true.

use testkit::Shape;
use testkit::history::{Evidence, Recorder, Scope, export_log};
use testkit::load::{Load, LoadConfig, Nodes};

use crate::shop::{rounds, start_patiently, verify_settled};

/// Answers between two kills, at random.
const ANSWERS: std::ops::Range<u64> = 100..1_500;

async fn survives(shape: Shape, kills: u32, seed: u64) {
    let mut app = start_patiently(shape).await;
    let (nodes, recorder) = (Nodes::new([app.url()]), Recorder::new());
    let mut random = fastrand::Rng::with_seed(seed);
    let load = Load::start(LoadConfig { seed, ..LoadConfig::default() }, &nodes, &recorder).await;
    for _ in 0..kills {
        load.answered(random.u64(ANSWERS)).await;
        app.kill();
        app.launch().await;
    }
    load.answered(ANSWERS.start).await;
    load.stop().await;
    let log = export_log(nodes.client(), &app.url()).await.unwrap();
    let report = Evidence { history: recorder.history(), log }.must_be_clean("crash", &Scope::default());
    println!("{:?}, {kills} kills, seed {seed}:\n{report}", app.shape());
    let counts = report.counts;
    assert!(counts.accepted > 0 && counts.unchanged > 0 && counts.rejected > 0, "{report}");
    assert!(counts.replayed > 0 && counts.unknown > 0 && counts.of_others > 0, "{report}");
    assert!(counts.writer_terms > kills as usize, "every start is a term of its own: {report}");
    verify_settled(&app).await;
}

#[tokio::test]
async fn what_clients_were_told_is_true_however_often_the_shop_is_killed() {
    for shape in Shape::all() {
        survives(shape, rounds().unwrap_or(3), 11).await;
    }
}
