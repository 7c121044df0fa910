//! Between nodes: commands and questions of peers, for the shards that this node owns. Nothing is passed on from here.
//!
//! A peer has checked what its caller may do; it is believed when the body's proof is right, or, where the installation
//! has no secret, when it is on this machine.

use std::sync::Arc;

use aggregate_host::Lane;
use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use command_client::PeerLane;
use command_client::wire::{LANE, PEER_COMMANDS, PEER_FACTS, PROOF};
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use schemas::CommandEnvelope;
use service_kit::{Problem, parse_json, read_body};

use crate::app::Api;
use crate::bulk::{ndjson, outcome_line, problem_line};
use crate::call::peer;
use crate::error::ApiError;
use crate::facts::{Facts, Question};
use crate::permission::forbidden;

/// The routes, where the log is shared.
pub(crate) fn router(api: &Api) -> Router<Api> {
    if !api.shards.has_peers() {
        return Router::new();
    }
    Router::new()
        .route(PEER_COMMANDS, post(commands))
        .route(PEER_FACTS, post(facts))
        .layer(DefaultBodyLimit::max(api.config.peer_body_bytes_max))
}

/// Whole envelopes, one a line; one answer a line in the same order.
async fn commands(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let (headers, body) = believed(&api, request).await?;
    let lane = match headers.get(LANE).map(|lane| lane.as_bytes()) {
        Some(bulk) if bulk == PeerLane::Bulk.as_str().as_bytes() => Lane::Bulk,
        _ => Lane::Single,
    };
    let mut answers = FuturesOrdered::new();
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    for (line, number) in lines.zip(1_u64..) {
        let envelope: CommandEnvelope = parse_json(line)?;
        let (command_id, stream) = (envelope.command_id, envelope.command.stream().to_string());
        // Queued in the order of the lines, before anything is waited for.
        let queued = api.shards.host().enqueue(Arc::new(envelope), lane);
        answers.push_back(async move {
            let answer = match queued {
                Ok(pending) => pending.await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(answer) => outcome_line(number, command_id, stream, answer),
                Err(error) => problem_line(number, ApiError::from(error).problem.command_id(command_id)),
            }
        });
    }
    let lines = answers.map(|answer| {
        let mut line = Vec::with_capacity(256);
        serde_json::to_writer(&mut line, &answer)
            .expect("answers are made of strings, numbers and JSON values");
        line.push(b'\n');
        Ok::<_, std::convert::Infallible>(Bytes::from(line))
    });
    Ok(ndjson(Body::from_stream(lines)))
}

async fn facts(State(api): State<Api>, request: Request) -> Result<Json<Facts>, Problem> {
    let (_, body) = believed(&api, request).await?;
    let question: Question = parse_json(&body)?;
    let facts = question.answer(api.shards.host()).await.map_err(|error| ApiError::from(error).problem)?;
    Ok(Json(facts))
}

/// The headers and the body of a request that a peer has sent.
async fn believed(api: &Api, request: Request) -> Result<(HeaderMap, Bytes), Problem> {
    let headers = request.headers().clone();
    let is_near = peer(request.extensions()).is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let body = read_body(request, api).await?;
    let is_believed = match api.shards.secret() {
        None => is_near,
        Some(secret) => {
            let proof = headers.get(PROOF).and_then(|proof| proof.to_str().ok()?.parse().ok());
            proof.is_some_and(|proof| secret.verifies(&body, &proof))
        }
    };
    if is_believed {
        Ok((headers, body))
    } else {
        tracing::warn!("somebody who is no node of this installation called a route between nodes");
        Err(forbidden("this route is for the nodes of the installation; the proof does not fit its secret")
            .hint("all nodes need the same installation_secret; without one, nodes on other machines are not believed"))
    }
}
