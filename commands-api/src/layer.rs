//! What stands around every route: who asks, room for it, its numbers, and the end of its answer.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use schemas::ErrorCode;
use service_kit::Problem;
use tower::{Layer, Service};

use crate::app::Api;
use crate::call::{COMMAND_ID, Call, Sender, peer};
use crate::error::{ApiError, finish};
use crate::metrics::InFlight;

/// Around a route for one command: gives the handler its [`Call`], and every answer the command id.
///
/// A layer of its own instead of a function as layer: that would copy the route's services for each request.
#[derive(Clone)]
pub(crate) struct AroundCommand(pub(crate) Api);

impl<S> Layer<S> for AroundCommand {
    type Service = CommandService<S>;

    fn layer(&self, inner: S) -> CommandService<S> {
        CommandService { api: self.0.clone(), inner }
    }
}

/// A route within [`AroundCommand`].
#[derive(Clone)]
pub(crate) struct CommandService<S> {
    api: Api,
    inner: S,
}

impl<S> Service<Request> for CommandService<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let measured = Measured::start(&self.api, &request);
        let (command_id, call) = Call::read(self.api.clone(), request.headers(), peer(request.extensions()));
        let handled = match (Arc::clone(&self.api.requests).try_acquire_owned(), call) {
            (Ok(room), Ok(call)) => {
                request.extensions_mut().insert(call);
                Ok((self.inner.call(request), room))
            }
            (Err(_), _) => Err(ApiError::from(full("requests_in_flight_max"))),
            (_, Err(problem)) => Err(ApiError::from(problem)),
        };
        Box::pin(async move {
            let response = match handled {
                Ok((handled, _room)) => handled.await?,
                Err(error) => error.into_response(),
            };
            let mut response = finish(response, Some(command_id));
            let id = HeaderValue::from_str(&command_id.to_string()).expect("a UUID is hex digits and dashes");
            response.headers_mut().insert(HeaderName::from_static(COMMAND_ID), id);
            measured.end(&response);
            Ok(response)
        })
    }
}

/// Around the bulk route: gives the handler its [`Sender`] and a place that it keeps until its last line is answered.
pub(crate) async fn around_bulk(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let measured = Measured::start(&api, &request);
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
    api: Api,
    method: Method,
    route: Option<MatchedPath>,
    _in_flight: InFlight,
}

impl Measured {
    fn start(api: &Api, request: &Request) -> Self {
        Self {
            started: Instant::now(),
            api: api.clone(),
            method: request.method().clone(),
            route: request.extensions().get::<MatchedPath>().cloned(),
            _in_flight: InFlight::enter(&api.metrics),
        }
    }

    fn end(self, response: &Response) {
        let route = self.route.as_ref().map_or("", MatchedPath::as_str);
        self.api.metrics.answered(&self.method, route, response.status(), self.started.elapsed());
    }
}
