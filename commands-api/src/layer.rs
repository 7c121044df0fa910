//! What stands around every route: who asks, room for it, its numbers, and the end of its answer.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use schemas::ErrorCode;
use service_kit::Problem;

use crate::app::Api;
use crate::call::{COMMAND_ID, Call, Sender, peer};
use crate::error::{ApiError, finish};
use crate::metrics::{InFlight, REQUEST_SECONDS, REQUESTS};

/// Around a route for one command: gives the handler its [`Call`], and every answer the command id.
pub(crate) async fn around_command(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let measured = Measured::start(&request);
    let (command_id, call) = Call::read(api.clone(), request.headers(), peer(request.extensions()));
    let response = match (api.requests.try_acquire(), call) {
        (Ok(_room), Ok(call)) => {
            request.extensions_mut().insert(call);
            next.run(request).await
        }
        (Err(_), _) => ApiError::from(full("requests_in_flight_max")).into_response(),
        (_, Err(problem)) => ApiError::from(problem).into_response(),
    };
    let mut response = finish(response, Some(command_id));
    let id = HeaderValue::from_str(&command_id.to_string()).expect("a UUID is hex digits and dashes");
    response.headers_mut().insert(HeaderName::from_static(COMMAND_ID), id);
    measured.end(&response);
    response
}

/// Around the bulk route: gives the handler its [`Sender`] and a place that it keeps until its last line is answered.
pub(crate) async fn around_bulk(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let measured = Measured::start(&request);
    let sender = Sender::read(request.headers(), peer(request.extensions()));
    let response = match (Arc::clone(&api.bulk_requests).try_acquire_owned(), sender) {
        (Ok(place), Ok(sender)) => {
            request.extensions_mut().insert((sender, Arc::new(place)));
            next.run(request).await
        }
        (Err(_), _) => ApiError::from(full("bulk_requests_max")).into_response(),
        (_, Err(problem)) => ApiError::from(problem).into_response(),
    };
    let response = finish(response, None);
    measured.end(&response);
    response
}

fn full(limit: &str) -> Problem {
    Problem::of(ErrorCode::Overloaded)
        .detail("as many requests as allowed are under way; nothing was done")
        .fact("limit", limit)
}

/// The numbers of one request.
struct Measured {
    started: Instant,
    method: Method,
    route: Option<MatchedPath>,
    _in_flight: InFlight,
}

impl Measured {
    fn start(request: &Request) -> Self {
        Self {
            started: Instant::now(),
            method: request.method().clone(),
            route: request.extensions().get::<MatchedPath>().cloned(),
            _in_flight: InFlight::enter(),
        }
    }

    fn end(self, response: &Response) {
        let route = self.route.as_ref().map_or("", MatchedPath::as_str);
        let labels = [("method", self.method.as_str()), ("route", route)];
        REQUEST_SECONDS.as_histogram(&labels).record(self.started.elapsed());
        let status = response.status();
        REQUESTS.as_counter(&[labels[0], labels[1], ("status", status.as_str())]).increment(1);
    }
}
