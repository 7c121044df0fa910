//! The pages for people: `/docs` (every route), `/docs/problems` (every error code), and `/openapi.json` behind them.

mod example;
mod merge;
mod page;
mod problems;

use axum::Router;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{Html, IntoResponse, Redirect};
use axum::routing::get;
use bytes::Bytes;
use serde_json::Value;

/// The pages are self-contained: their own style and script, nothing from elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; \
     frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// The routes of the pages, about the given OpenAPI documents taken together.
pub(crate) fn router(documents: Vec<Value>) -> Router {
    let document = merge::merge(documents);
    let page = Bytes::from(page::render(&document));
    let problems = Bytes::from(problems::render());
    let json = Bytes::from(serde_json::to_vec(&document).expect("a document made of JSON"));
    Router::new()
        .route("/", get(|| async { Redirect::temporary("/docs") }))
        .route("/docs", get(async move || html(page.clone())))
        .route("/docs/problems", get(async move || html(problems.clone())))
        .route("/openapi.json", get(async move || ([(CONTENT_TYPE, "application/json")], json.clone())))
}

fn html(page: Bytes) -> impl IntoResponse {
    ([(CONTENT_SECURITY_POLICY, POLICY)], Html(page))
}

/// A text between tags or in a quoted attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Escapes a text and turns `code` into code, as descriptions are written.
fn prose(text: &str) -> String {
    let mut html = String::new();
    for (index, part) in text.split('`').enumerate() {
        let part = escape(part);
        html.push_str(&if index % 2 == 1 { format!("<code>{part}</code>") } else { part });
    }
    html.replace("\n\n", "<br><br>")
}

/// Puts a body into the frame that all pages share.
fn frame(title: &str, body: &str) -> String {
    include_str!("docs/frame.html").replace("{{title}}", &escape(title)).replace("{{body}}", body)
}
