//! A node sleeps with shards that are its own: what other nodes had passed on to it is answered by its successor, truly and
//! in order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use service_kit::{FAIL_POINTS_VARIABLE, FailPoint};
use testkit::eventually;

use crate::cluster::{Cluster, Load};

/// A takeover (10 s at most, as promised), and what follows it.
const ANSWERED: Duration = Duration::from_secs(15);
/// Streams on all shards.
const SKUS: usize = 20;

/// Two nodes with two shards each; the first one is put to sleep.
async fn two_nodes() -> Option<Cluster> {
    let cluster = Cluster::start(2).await?;
    cluster.is_spread(2).await;
    Some(cluster)
}

/// One unit for each SKU through the awake node, all at once: the answers, each with the time it took.
async fn receive(cluster: &Cluster, wave: &str) -> Vec<(Value, Duration)> {
    receive_counted(cluster, wave, &AtomicUsize::new(0)).await
}

/// The same; counts the answers as they come.
async fn receive_counted(cluster: &Cluster, wave: &str, answered: &AtomicUsize) -> Vec<(Value, Duration)> {
    let started = Instant::now();
    let answers = (0..SKUS).map(async |sku| {
        let path = format!("/v1/stock/sku-{sku}/receive");
        let answer =
            cluster.nodes[1].post_once(&format!("{wave}-{sku}"), &path, json!({"quantity": 1})).await;
        answered.fetch_add(1, Ordering::SeqCst);
        (answer.ok(), started.elapsed())
    });
    futures::future::join_all(answers).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_passed_on_to_an_owner_that_sleeps_is_answered_by_its_successor() {
    let Some(cluster) = two_nodes().await else { return };
    let awake = receive(&cluster, "awake").await;
    cluster.nodes[0].freeze();
    let asked_at = Instant::now();
    let questions = futures::future::join_all(awake.iter().map(async |(answer, _)| {
        let (id, stream) = (answer["command_id"].as_str().unwrap(), answer["stream"].as_str().unwrap());
        let outcome = cluster.nodes[1].get(&format!("/v1/commands/{id}?stream={stream}")).await.ok();
        assert_eq!(outcome["version"], 1, "{outcome}");
        asked_at.elapsed()
    }));
    let (answers, questions) = tokio::join!(receive(&cluster, "asleep"), questions);
    let slowest = answers.iter().map(|(_, took)| *took).max().unwrap();
    let slowest_question = questions.into_iter().max().unwrap();
    println!("commands answered within {slowest:?}, questions within {slowest_question:?}");
    assert!(slowest_question < ANSWERED, "{slowest_question:?}");
    assert!(slowest > Duration::from_secs(1), "half of the streams were the sleeping node's: {slowest:?}");
    assert!(slowest < ANSWERED, "{slowest:?}");
    for (answer, _) in &answers {
        assert_eq!((&answer["version"], &answer["replayed"]), (&json!(2), &json!(false)), "{answer}");
    }
    for ((answer, _), (again, _)) in answers.iter().zip(receive(&cluster, "asleep").await) {
        assert_eq!((&again["version"], &again["position"]), (&answer["version"], &answer["position"]));
        assert_eq!(again["replayed"], true, "{again}");
    }
    cluster.nodes[0].thaw();
    cluster.is_spread(2).await;
    receive(&cluster, "asleep").await;
    let report = cluster.verify().await;
    assert_eq!(
        report["events"],
        2 * SKUS,
        "what the sleeping node had in its hands came to nothing: {report}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_owner_had_appended_before_it_slept_is_answered_as_done() {
    let Some(mut cluster) = two_nodes().await else { return };
    receive(&cluster, "awake").await;
    // From here on it appends one turn of each of its shards, and answers nobody.
    let armed = format!("{}=sleep(600000)", FailPoint::HOST_AFTER_APPEND.name());
    cluster.nodes[0].terminate();
    cluster.nodes[0].set_variables(&[(FAIL_POINTS_VARIABLE, &armed)]);
    cluster.nodes[0].launch().await;
    cluster.is_spread(2).await;
    let answered = AtomicUsize::new(0);
    let falls_asleep = eventually("something is appended, and not answered", || async {
        let appended = cluster.verify().await["events"].as_u64().unwrap() as usize;
        let is_there = appended > SKUS + answered.load(Ordering::SeqCst);
        is_there.then(|| cluster.nodes[0].freeze())
    });
    let (answers, ()) = tokio::join!(receive_counted(&cluster, "asleep", &answered), falls_asleep);
    let slowest = answers.iter().map(|(_, took)| *took).max().unwrap();
    let appended_before = answers.iter().filter(|(answer, _)| answer["replayed"] == true).count();
    println!("answered within {slowest:?}, {appended_before} of them appended before");
    assert!(slowest < ANSWERED && appended_before > 0, "{answers:?}");
    assert!(answers.iter().all(|(answer, _)| answer["version"] == 2), "{answers:?}");
    assert_eq!(cluster.verify().await["events"], 2 * SKUS, "each of them once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_falls_asleep_amid_commands_costs_the_callers_of_others_a_takeover_and_no_failure() {
    let Some(cluster) = two_nodes().await else { return };
    let load = Load::start(&[cluster.nodes[1].url()], 16);
    load.goes_on(200).await;
    cluster.nodes[0].freeze();
    load.goes_on(200).await;
    cluster.nodes[0].thaw();
    cluster.is_spread(2).await;
    load.goes_on(200).await;
    let told = load.end().await;
    assert!(told.failed.is_empty(), "{:#?}", told.failed);
    assert!(told.slowest.values().all(|wait| *wait < ANSWERED), "{:?}", told.slowest);
    let report = cluster.verify().await;
    assert_eq!(report["events"], told.accepted, "appended before the sleep or after it, but once: {report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_lines_keep_the_order_of_their_stream_when_an_owner_falls_asleep() {
    const LINES: usize = 6_000;
    let Some(cluster) = two_nodes().await else { return };
    let lines = (0..LINES).map(|line| {
        let sku = format!("sku-{}", line % SKUS);
        let line = json!({"aggregate": "stock", "id": sku, "type": "receive", "data": {"quantity": 1}});
        format!("{line}\n")
    });
    let mut response = reqwest::Client::new()
        .post(format!("{}/v1/commands", cluster.nodes[1].url()))
        .header("content-type", "application/x-ndjson")
        .body(lines.collect::<String>())
        .send()
        .await
        .unwrap();
    let (mut text, mut is_asleep, mut longest) = (Vec::new(), false, Duration::ZERO);
    let mut last = Instant::now();
    while let Some(chunk) = response.chunk().await.unwrap() {
        longest = longest.max(last.elapsed());
        last = Instant::now();
        text.extend_from_slice(&chunk);
        let answered = text.iter().filter(|byte| **byte == b'\n').count();
        if answered > LINES / 4 && !is_asleep {
            cluster.nodes[0].freeze();
            is_asleep = true;
        }
    }
    println!("the longest wait for an answer was {longest:?}");
    assert!(longest < ANSWERED, "{longest:?}");
    let answers = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    for (line, answer) in answers.enumerate() {
        let answer: Value = serde_json::from_slice(answer).unwrap();
        assert_eq!((&answer["line"], &answer["outcome"]), (&json!(line + 1), &json!("accepted")), "{answer}");
        assert_eq!(answer["version"], line / SKUS + 1, "line {line} was decided in its turn: {answer}");
    }
    cluster.nodes[0].thaw();
    cluster.is_spread(2).await;
    let report = cluster.verify().await;
    assert_eq!(report["events"], LINES, "{report}");
}
