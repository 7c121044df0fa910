//! Clients at random while the shop is killed, stopped and frozen again and again: whatever they were told is true.

use std::time::Duration;

use testkit::history::{Evidence, Recorder, Scope, export_log};
use testkit::load::{Load, LoadConfig, Nodes};
use testkit::{Shape, TestApp};

use crate::shop::{HASTY, PROGRAM, rounds, seed, verify_settled};

/// Answers between two disturbances, at random.
const ANSWERS: std::ops::Range<u64> = 100..1_500;
/// How long a node stands still: the group gives it up after six seconds.
pub(crate) const FREEZE: Duration = Duration::from_secs(8);
/// How long a client waits for an answer: less, so that it hears nothing from a frozen node.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What befalls a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disturbance {
    Kill,
    Terminate,
    Freeze,
}

impl Disturbance {
    /// They come in turn.
    pub(crate) const ALL: [Self; 4] = [Self::Kill, Self::Terminate, Self::Kill, Self::Freeze];

    pub(crate) async fn befalls(self, node: &mut TestApp) {
        match self {
            Self::Kill => node.kill(),
            Self::Terminate => assert!(node.terminate().success(), "{}", node.log()),
            Self::Freeze => {
                node.freeze();
                tokio::time::sleep(FREEZE).await;
                return node.thaw();
            }
        }
        node.launch().await;
    }
}

async fn survives(shape: Shape, disturbances: u32, seed: u64) {
    let mut app = TestApp::start_with(PROGRAM, shape, &["--config", HASTY]).await;
    let (nodes, recorder) = (Nodes::new([app.url()]), Recorder::new());
    let mut random = fastrand::Rng::with_seed(seed);
    let config = LoadConfig { seed, answer_timeout: ANSWER_TIMEOUT, ..LoadConfig::default() };
    let load = Load::start(config, &nodes, &recorder).await;
    for disturbance in Disturbance::ALL.into_iter().cycle().take(disturbances as usize) {
        load.answered(random.u64(ANSWERS)).await;
        disturbance.befalls(&mut app).await;
    }
    load.answered(ANSWERS.start).await;
    load.stop().await;
    let log = export_log(nodes.client(), &app.url()).await.unwrap();
    let report = Evidence { history: recorder.history(), log }.must_be_clean("crash", &Scope::default());
    println!("{:?}, {disturbances} disturbances, seed {seed}:\n{report}", app.shape());
    let counts = report.counts;
    assert!(counts.accepted > 0 && counts.unchanged > 0 && counts.rejected > 0, "{report}");
    assert!(counts.replayed > 0 && counts.unknown > 0 && counts.of_others > 0, "{report}");
    assert!(
        counts.writer_terms as u32 > disturbances / 2,
        "most starts write under a term of their own: {report}"
    );
    verify_settled(&app).await;
}

/// Clients go on while the shop ends: on threads of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_were_told_is_true_whatever_befalls_the_shop() {
    for shape in Shape::all() {
        survives(shape, rounds().unwrap_or(4), seed(11)).await;
    }
}
