//! The peer: the usual event-sourced stack of Rust, cqrs-es with postgres-es behind axum.
//!
//! In the shape that its authors show: events in one table under a primary key that detects conflicts, no snapshots, a view
//! updated in line after each commit, their default pool of ten connections, JSON over axum. The route is Millrace's own.

mod stock;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use cqrs_es::AggregateError;
use cqrs_es::persist::GenericQuery;
use postgres_es::{PostgresCqrs, PostgresViewRepository, default_postgress_pool, postgres_cqrs};
use sqlx::{Pool, Postgres, Row};

use crate::stock::{Receive, Stock, StockView};

/// Serves stock on PostgreSQL.
#[derive(Parser)]
struct Options {
    /// The database, `postgres://USER@HOST:PORT/NAME`; its tables are made anew.
    database: String,
    /// Where to serve.
    address: SocketAddr,
}

/// As postgres-es wants them.
const TABLES: &str = "
    DROP TABLE IF EXISTS events;
    DROP TABLE IF EXISTS stock_view;
    CREATE TABLE events (
        aggregate_type text NOT NULL,
        aggregate_id text NOT NULL,
        sequence bigint CHECK (sequence >= 0) NOT NULL,
        event_type text NOT NULL,
        event_version text NOT NULL,
        payload json NOT NULL,
        metadata json NOT NULL,
        PRIMARY KEY (aggregate_type, aggregate_id, sequence)
    );
    CREATE TABLE stock_view (
        view_id text NOT NULL,
        version bigint CHECK (version >= 0) NOT NULL,
        payload json NOT NULL,
        PRIMARY KEY (view_id)
    );";

/// What decides how durable and how fast a commit is.
const SETTINGS: [&str; 7] = [
    "server_version",
    "fsync",
    "synchronous_commit",
    "wal_sync_method",
    "full_page_writes",
    "shared_buffers",
    "max_connections",
];

type Cqrs = Arc<PostgresCqrs<Stock>>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let pool = default_postgress_pool(&options.database).await;
    sqlx::raw_sql(TABLES).execute(&pool).await.context("cannot make the tables")?;
    println!("{}", settings(&pool).await?);

    let view = PostgresViewRepository::<StockView, Stock>::new("stock_view", pool.clone());
    let mut query = GenericQuery::new(Arc::new(view));
    query.use_error_handler(Box::new(|error| eprintln!("view: {error}")));
    let cqrs: Cqrs = Arc::new(postgres_cqrs(pool, vec![Box::new(query)], ()));
    let router = Router::new()
        .route("/health/ready", get(async || "ready"))
        .route("/v1/stock/{sku}/receive", post(receive))
        .with_state(cqrs);
    let listener = tokio::net::TcpListener::bind(options.address).await?;
    Ok(axum::serve(listener, router).await?)
}

async fn receive(
    State(cqrs): State<Cqrs>,
    Path(sku): Path<String>,
    Json(command): Json<Receive>,
) -> (StatusCode, String) {
    let metadata = HashMap::from([("principal".to_owned(), "anonymous".to_owned())]);
    match cqrs.execute_with_metadata(&sku, command, metadata).await {
        Ok(()) => (StatusCode::NO_CONTENT, String::new()),
        Err(AggregateError::UserError(error)) => (StatusCode::BAD_REQUEST, error.to_string()),
        Err(AggregateError::AggregateConflict) => (StatusCode::CONFLICT, "conflict".to_owned()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// The settings that matter, in one line.
async fn settings(pool: &Pool<Postgres>) -> anyhow::Result<String> {
    let mut said = Vec::new();
    for name in SETTINGS {
        let row = sqlx::query("SELECT current_setting($1)").bind(name).fetch_one(pool).await?;
        said.push(format!("{name} {}", row.get::<String, _>(0)));
    }
    Ok(format!("peer: cqrs-es 0.5, postgres-es 0.5, pool of 10; PostgreSQL {}", said.join(", ")))
}
