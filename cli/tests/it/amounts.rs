//! What is as large as it may be is added up; what is larger is refused before anything has to add it up.

use aggregates::AMOUNT_MINOR_MAX;
use serde_json::{Value, json};

use crate::support::{post, start, until};

#[tokio::test(flavor = "multi_thread")]
async fn no_amount_is_too_large_for_the_views() {
    let folder = tempfile::tempdir().unwrap();
    let app = start(folder.path()).await;
    let credit = |amount: i64| json!({"amount": {"amount_minor": amount, "currency": "GBP"}});
    for customer in 0..9 {
        let (status, _) =
            post(&app, "/v1/customers", json!({"id": format!("c{customer}"), "name": "A. Buyer"})).await;
        assert_eq!(status, 201);
        let path = format!("/v1/customers/c{customer}/credits");
        for amount in [i64::MAX, i64::MIN, AMOUNT_MINOR_MAX + 1] {
            let (status, problem) = post(&app, &path, credit(amount)).await;
            assert_eq!((status, &problem["code"]), (422, &json!("invalid_value")), "{amount}: {problem}");
        }
        let (status, answer) = post(&app, &path, credit(AMOUNT_MINOR_MAX)).await;
        assert_eq!(status, 200, "{answer}");
    }
    let all = |status: u16, totals: &Value| status == 200 && totals["credits"] == 9 * AMOUNT_MINOR_MAX;
    until(&app, "/v1/reports/totals", all).await;
    until(&app, "/health/ready", |status, _| status == 200).await;
    app.shutdown().await.unwrap();
}
