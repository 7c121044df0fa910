//! The process ends at every edge between decide, append, commit, publish, answer and checkpoint, under load and on both
//! logs: what clients were told is true afterwards.

use service_kit::{FAIL_POINTS_VARIABLE, FailPoint};
use testkit::Shape;
use testkit::history::{Evidence, Recorder, Scope, export_log};
use testkit::load::{Load, LoadConfig, Nodes};

use crate::shop::{rounds, start_patiently, verify_settled};

/// The edges of a command's way, with how often each is passed before the process ends there.
fn edges(shape: &Shape) -> Vec<(FailPoint, u32)> {
    let mut edges = vec![
        (FailPoint::HOST_AFTER_DECIDE, 150),
        (FailPoint::HOST_AFTER_APPEND, 150),
        (FailPoint::HOST_AFTER_ANSWER, 150),
        (FailPoint::HOST_BEFORE_CHECKPOINT, 1),
        (FailPoint::HOST_AFTER_CHECKPOINT, 1),
    ];
    edges.extend(match shape {
        Shape::Embedded => vec![
            (FailPoint::EMBEDDED_BEFORE_WRITE, 200),
            (FailPoint::EMBEDDED_AFTER_WRITE, 200),
            (FailPoint::EMBEDDED_BEFORE_ANSWER, 200),
            (FailPoint::EMBEDDED_BEFORE_TERM, 1),
            (FailPoint::EMBEDDED_AFTER_TERM, 1),
        ],
        Shape::Kafka { .. } => vec![
            (FailPoint::KAFKA_BEFORE_BEGIN, 150),
            (FailPoint::KAFKA_BEFORE_COMMIT, 150),
            (FailPoint::KAFKA_AFTER_COMMIT, 150),
            (FailPoint::KAFKA_BEFORE_TERM, 1),
        ],
    });
    edges
}

async fn ends_at_every_edge(shape: Shape, rounds: u32) {
    let mut app = start_patiently(shape).await;
    let (nodes, recorder) = (Nodes::new([app.url()]), Recorder::new());
    let edges = edges(app.shape());
    let load = Load::start(LoadConfig { seed: 17, ..LoadConfig::default() }, &nodes, &recorder).await;
    load.answered(50).await;
    for (edge, passes) in (0..rounds).flat_map(|_| &edges) {
        app.kill();
        let armed = format!("{}={passes}*off->return(abort)", edge.name());
        app.set_variables(&[(FAIL_POINTS_VARIABLE, &armed)]);
        // Some edges are passed before it is ready.
        app.spawn();
        let status = app.ends().await;
        assert!(!status.success(), "{edge:?}");
        let said = format!("fail point {}: the process ends here", edge.name());
        assert!(app.log().contains(&said), "{edge:?} did not fire:\n{}", app.log());
        app.set_variables(&[]);
        app.launch().await;
        load.answered(50).await;
    }
    load.stop().await;
    let log = export_log(nodes.client(), &app.url()).await.unwrap();
    let report = Evidence { history: recorder.history(), log }.must_be_clean("edges", &Scope::default());
    println!("{:?}, {} edges:\n{report}", app.shape(), edges.len());
    assert!(report.counts.accepted > 0 && report.counts.unknown > 0, "{report}");
    verify_settled(&app).await;
}

#[tokio::test]
async fn what_clients_were_told_is_true_wherever_the_process_ends() {
    for shape in Shape::all() {
        ends_at_every_edge(shape, rounds().unwrap_or(1)).await;
    }
}
