//! What the process tells operators, and to whom.

use event_log::Record;
use millrace::{LogLine, LogSummary, Status};

use crate::support::{answer, get, order, start, stock_up, until};

async fn lines(app: &millrace::RunningApp, path: &str) -> Vec<LogLine> {
    let text = reqwest::get(format!("{}{path}", app.url())).await.unwrap().text().await.unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_exported_to_its_stable_end_and_from_any_offset() {
    let folder = tempfile::tempdir().unwrap();
    let app = start(folder.path()).await;
    stock_up(&app, "MUG", 5).await;
    let summary: LogSummary = serde_json::from_value(get(&app, "/admin/v1/log").await.1).unwrap();
    let topic = summary.topics.iter().find(|topic| topic.topic == "millrace.product.events").unwrap();
    let partition = topic.stable_ends.iter().position(|end| *end > 0).unwrap();
    assert_eq!(topic.stable_ends[partition], 3);

    let path = format!("/admin/v1/log/millrace.product.events/{partition}");
    let all = lines(&app, &path).await;
    assert_eq!(all.len(), 4);
    let offsets: Vec<_> = all[..3]
        .iter()
        .map(|line| {
            let LogLine::Record(record) = line.clone() else { panic!("{line:?}") };
            let record = Record::try_from(record).unwrap();
            event_log::decode_event(&record).unwrap();
            record.position.offset
        })
        .collect();
    assert_eq!(offsets, [0, 1, 2]);
    let LogLine::End(end) = &all[3] else { panic!("{:?}", all[3]) };
    assert_eq!(end[0].next_offset, 3);

    let one = lines(&app, &format!("{path}?from=1&limit=1")).await;
    let [LogLine::Record(record), LogLine::End(end)] = &one[..] else { panic!("{one:?}") };
    assert_eq!((record.position.offset, end[0].next_offset), (1, 2));
    assert_eq!(lines(&app, &format!("{path}?from=3")).await.len(), 1, "nothing but the end");

    let (status, problem) = get(&app, "/admin/v1/log/millrace.nothing/0").await;
    assert_eq!((status, problem["code"].as_str()), (404, Some("not_found")));
    app.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_shows_what_comes_and_ends_with_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let app = start(folder.path()).await;
    stock_up(&app, "MUG", 5).await;
    let url = format!("{}/admin/v1/tail?topics=order.events&from=end", app.url());
    let mut tail = reqwest::get(url).await.unwrap();
    assert_eq!(order(&app, "o-1", "MUG", 1).await.0, 201);
    let first = tail.chunk().await.unwrap().unwrap();
    let first = std::str::from_utf8(&first).unwrap().lines().next().unwrap().to_owned();
    let LogLine::Record(record) = serde_json::from_str(&first).unwrap() else { panic!("{first}") };
    assert_eq!(&*record.position.topic, "millrace.order.events");
    until(&app, "/v1/orders/o-1", |_, order| order["status"] == "delivered").await;

    let started = std::time::Instant::now();
    let (stopped, rest) = tokio::join!(app.shutdown(), tail.text());
    stopped.unwrap();
    let rest = rest.unwrap();
    assert!(rest.lines().last().unwrap().starts_with("{\"end\":"), "{rest}");
    assert!(started.elapsed().as_secs() < 4, "an open tail holds the shutdown up");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_comes_to_rest_after_a_sale() {
    let folder = tempfile::tempdir().unwrap();
    let app = start(folder.path()).await;
    stock_up(&app, "MUG", 5).await;
    assert_eq!(order(&app, "o-1", "MUG", 1).await.0, 201);
    until(&app, "/v1/orders/o-1", |_, order| order["status"] == "delivered").await;
    let status = until(&app, "/admin/v1/status", |_, status| {
        status["process_managers"]["events_waiting"] == 0
            && status["lag"].as_array().unwrap().iter().all(|lag| lag["lag_events"] == 0)
    })
    .await;
    let status: Status = serde_json::from_value(status).unwrap();
    assert!(status.ready && status.live);
    assert_eq!(status.shards.unwrap().serving, 2);
    assert_eq!(status.log, "embedded");
    let orders = status.topics.iter().find(|topic| topic.topic == "millrace.order.events").unwrap();
    assert_eq!(orders.stable_records, 5);
    app.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_caller_is_refused_on_every_admin_route() {
    let folder = tempfile::tempdir().unwrap();
    let app = start(folder.path()).await;
    for path in ["status", "log", "log/millrace.order.events/0", "tail"] {
        let request = reqwest::Client::new().get(format!("{}/admin/v1/{path}", app.url()));
        let (status, problem) = answer(request.header("x-forwarded-for", "203.0.113.9")).await;
        assert_eq!((status, problem["code"].as_str()), (403, Some("forbidden")), "{path}: {problem}");
    }
    app.shutdown().await.unwrap();
}
