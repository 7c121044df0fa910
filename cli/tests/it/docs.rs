//! The pages for people.

use schemas::ErrorCode;

use crate::support::{get, start};

#[tokio::test(flavor = "multi_thread")]
async fn the_docs_page_lists_every_route_and_every_problem() {
    let folder = tempfile::tempdir().unwrap();
    let app = start(folder.path()).await;
    let (_, document) = get(&app, "/openapi.json").await;
    let (status, page) = get(&app, "/docs").await;
    assert_eq!(status, 200);
    let page = page.as_str().unwrap();
    let paths = document["paths"].as_object().unwrap();
    for wanted in [
        "/v1/orders",
        "/v1/stock/{sku}",
        "/v1/reports/totals",
        "/v1/streams/{aggregate}/{id}",
        "/v1/commands",
    ] {
        assert!(paths.contains_key(wanted), "{wanted} is not in the document");
    }
    for (path, item) in paths {
        for method in item.as_object().unwrap().keys() {
            assert!(page.contains(&format!("id=\"{method}-{path}\"")), "{method} {path}");
        }
    }
    for tag in document["tags"].as_array().unwrap() {
        assert!(page.contains(&format!("id=\"{}\"", tag["name"].as_str().unwrap())), "{tag}");
    }
    let (_, problems) = get(&app, "/docs/problems").await;
    for code in ErrorCode::ALL {
        assert!(problems.as_str().unwrap().contains(&format!("id=\"{code}\"")), "{code}");
    }
    let (_, problem) = get(&app, "/v1/orders/none").await;
    let anchor = problem["type"].as_str().unwrap().split_once('#').unwrap().1;
    assert!(problems.as_str().unwrap().contains(&format!("id=\"{anchor}\"")), "{problem}");
    app.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_leads_to_the_docs_and_numbers_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let app = start(folder.path()).await;
    let root = reqwest::get(app.url()).await.unwrap();
    assert_eq!(root.url().path(), "/docs");
    let (status, metrics) = get(&app, "/metrics").await;
    assert_eq!(status, 200);
    assert!(metrics.as_str().unwrap().contains("millrace_"), "{metrics}");
    app.shutdown().await.unwrap();
}
