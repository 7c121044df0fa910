//! The HTTP ceiling: a server that reads the same requests with the same library and answers as much, and does nothing.

use std::net::SocketAddr;

use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Receive {
    quantity: u64,
}

#[derive(Serialize)]
struct Answer {
    command_id: &'static str,
    outcome: &'static str,
    stream: String,
    id: String,
    version: u64,
    position: &'static str,
    replayed: bool,
}

/// Serves until it is killed.
pub(crate) fn serve(address: SocketAddr) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/health/ready", get(async || "ready"))
        .route("/v1/stock/{sku}/receive", post(receive));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        Ok(axum::serve(
            axum::serve::ListenerExt::tap_io(listener, |stream| {
                let _ = stream.set_nodelay(true);
            }),
            router,
        )
        .await?)
    })
}

/// As long an answer as Millrace's.
async fn receive(Path(sku): Path<String>, Json(body): Json<Receive>) -> Json<Answer> {
    Json(Answer {
        command_id: "0192f0c1-2345-7000-8000-000000000001",
        outcome: "accepted",
        stream: format!("stock/{sku}"),
        id: sku,
        version: body.quantity,
        position: "millrace.stock.events/0@1234567",
        replayed: false,
    })
}
