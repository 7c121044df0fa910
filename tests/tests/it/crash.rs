//! What a crash leaves behind: nothing lost, nothing doubled, nothing half done.

use serde_json::{Value, json};
use testkit::{Shape, eventually};

use crate::shop::{PROGRAM, ended, rounds, start, stock_becomes, stock_up, verify_settled};

/// `kill -9` while orders are on their way, several times; the same requests are repeated under the same keys.
#[tokio::test]
async fn orders_survive_kill_9_exactly_once() {
    for shape in Shape::all() {
        let mut app = start(shape).await;
        stock_up(&app, "MUG", 455, 1_000).await;
        let mut orders = Vec::new();
        for round in 0..rounds().unwrap_or(3) {
            for i in 0..20 {
                let id = format!("crash-{round}-{i}");
                let order = json!({
                    "id": id, "country": "United Kingdom", "payment_method": "sandbox",
                    "lines": [{"sku": "MUG", "quantity": 1}, {"sku": "MUG", "quantity": 1}],
                });
                app.post_once(&id, "/v1/orders", order.clone()).await.ok();
                orders.push((id, order));
            }
            app.kill();
            app.launch().await;
            for (id, order) in &orders {
                let again = app.post_once(id, "/v1/orders", order.clone()).await;
                assert_eq!(again.header("Idempotency-Replayed"), "true", "{again:?}");
                again.ok();
            }
        }
        for (id, _) in &orders {
            assert_eq!(ended(&app, id).await["status"], "delivered");
        }
        let left = 1_000 - 2 * i64::try_from(orders.len()).unwrap();
        stock_becomes(&app, "MUG", left, 0, left).await;
        let report = verify_settled(&app).await;
        assert_eq!(report["captured"], 2 * 455 * orders.len() as i64);
    }
}

#[tokio::test]
async fn sigterm_ends_it_cleanly_and_a_restart_without_local_state_serves_the_same() {
    for shape in Shape::all() {
        let mut app = start(shape).await;
        stock_up(&app, "MUG", 455, 5).await;
        let before = eventually("the view has it", || async {
            let body = app.get("/v1/stock/MUG").await.body;
            (body["on_hand"] == 5).then_some(body)
        })
        .await;
        assert!(app.terminate().success(), "{}", app.log());
        for folder in ["state", "views", "process-managers"] {
            let _ = std::fs::remove_dir_all(app.data_dir().join(folder));
        }
        app.launch().await;
        let after = eventually("the view is back", || async {
            let answer = app.get("/v1/stock/MUG").await;
            (answer.status == 200).then_some(answer.body)
        })
        .await;
        assert_eq!(after, before);
        verify_settled(&app).await;
    }
}

#[tokio::test]
async fn a_folder_in_use_is_refused_with_what_to_do() {
    let app = start(Shape::Embedded).await;
    let folder = app.data_dir();
    let folder = folder.to_str().unwrap();
    let second = app.command(&["up", "--data-dir", folder, "--listen", "127.0.0.1:0"]).await;
    assert_eq!(second.status.code(), Some(2));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("error:") && said.contains("hint:"), "{said}");
    let verify = app.command(&["verify", "--data-dir", folder]).await;
    assert_eq!(verify.status.code(), Some(2), "{}", String::from_utf8_lossy(&verify.stderr));
    assert!(std::path::Path::new(PROGRAM).exists());
    let ready: Value = app.get("/health/ready").await.ok();
    assert!(ready.is_object(), "{ready}");
}
