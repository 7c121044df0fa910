//! Extractors whose refusals are problems that name the place of the mistake.

use axum::body::Bytes;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use schemas::ErrorCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::problem::Problem;

/// A JSON body, both ways. A refused one answers with line, column and field; the limit is the router's
/// `DefaultBodyLimit`, see [`crate::with_layers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// The query string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<T>(pub T);

/// The parameters in the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        require_json(request.headers())?;
        let body = read_body(request, state).await?;
        parse_json(&body).map(Self)
    }
}

/// Reads a whole body within the router's limit.
///
/// # Errors
/// `body_too_large`, or `invalid_request` for a body that broke off.
pub async fn read_body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Problem::of(ErrorCode::BodyTooLarge)
                .hint("split the request; the bulk route takes any number of lines")
        } else {
            Problem::of(ErrorCode::InvalidRequest).detail(rejection.body_text())
        }
    })
}

/// Reads a `T` out of JSON text: a body, or one line of a bulk body.
///
/// # Errors
/// `invalid_request` for text that is not JSON, `invalid_value` for JSON that is not a `T`; both with the facts `line`,
/// `column` (first is 1) and, where known, `field` (`lines[2].quantity`).
pub fn parse_json<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let parsed = serde_path_to_error::deserialize(&mut deserializer);
    let (field, error) = match parsed {
        Ok(value) => match deserializer.end() {
            Ok(()) => return Ok(value),
            Err(error) => (None, error),
        },
        Err(error) => {
            let field = error.path().to_string();
            (Some(field).filter(|field| field != "."), error.into_inner())
        }
    };
    let code = match error.classify() {
        Category::Data => ErrorCode::InvalidValue,
        Category::Syntax | Category::Eof | Category::Io => ErrorCode::InvalidRequest,
    };
    let mut problem = Problem::of(code).detail(error.to_string());
    // A line of 0 means that serde knows no place: a value was refused after it had been read whole.
    if error.line() > 0 {
        problem = problem.fact("line", error.line()).fact("column", error.column());
    }
    Err(match field {
        Some(field) => problem.fact("field", field),
        None => problem,
    })
}

/// Refuses a request whose body is not declared as JSON.
///
/// # Errors
/// `unsupported_media_type`.
pub fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let json =
        essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    if json {
        return Ok(());
    }
    Err(Problem::of(ErrorCode::UnsupportedMediaType)
        .detail(if given.is_empty() {
            "the request has no content type".to_owned()
        } else {
            format!("the content type is {given}")
        })
        .hint("send `Content-Type: application/json`"))
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(QueryRejection::FailedToDeserializeQueryString(rejection)) => {
                Err(Problem::of(ErrorCode::InvalidRequest).detail(rejection.body_text()))
            }
            Err(rejection) => Err(Problem::of(ErrorCode::InvalidRequest).detail(rejection.body_text())),
        }
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let rejection = match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => return Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(rejection)) => rejection.into_kind(),
            Err(rejection) => {
                // The route and its handler disagree: our mistake, not the caller's.
                tracing::error!(error = rejection.body_text(), "path extractor does not fit its route");
                return Err(Problem::of(ErrorCode::Internal));
            }
        };
        let problem = Problem::of(ErrorCode::InvalidRequest);
        Err(match rejection {
            ErrorKind::ParseErrorAtKey { key, value, expected_type } => problem
                .detail(format!("{key} is {value:?}, which is not of type {expected_type}"))
                .fact("field", key),
            ErrorKind::DeserializeError { key, message, .. } => {
                problem.detail(format!("{key}: {message}")).fact("field", key)
            }
            ErrorKind::InvalidUtf8InPathParam { key } => {
                problem.detail(format!("{key} is not valid UTF-8")).fact("field", key)
            }
            other => problem.detail(other.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HttpOptions, with_layers};
    use axum::Router;
    use axum::body::Body;
    use axum::routing::{get, post};
    use serde::Deserialize;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Order {
        lines: Vec<Line>,
    }

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line {
        sku: String,
        quantity: u32,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Page {
        #[serde(default)]
        limit: u32,
    }

    fn app() -> Router {
        let router = Router::new()
            .route("/orders", post(|Json(order): Json<Order>| async { Json(order) }))
            .route("/orders/{number}", get(|Path(number): Path<u32>| async move { number.to_string() }))
            .route("/stock", get(|Query(page): Query<Page>| async move { page.limit.to_string() }));
        with_layers(router, &HttpOptions::default())
    }

    async fn send(method: &str, uri: &str, content_type: &str, body: impl Into<Body>) -> (StatusCode, Value) {
        let request =
            Request::builder().method(method).uri(uri).header(CONTENT_TYPE, content_type).body(body.into());
        let response = app().oneshot(request.unwrap()).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 22).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn post_order(body: impl Into<Body>) -> (StatusCode, Value) {
        send("POST", "/orders", "application/json; charset=utf-8", body).await
    }

    #[tokio::test]
    async fn good_json_passes_both_ways() {
        let order = json!({"lines": [{"sku": "A", "quantity": 3}]});
        assert_eq!(post_order(order.to_string()).await, (StatusCode::OK, order));
    }

    #[tokio::test]
    async fn broken_json_names_its_line_and_column() {
        let (status, body) = post_order("{\n  \"lines\": [,]\n}").await;
        assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &json!("invalid_request")));
        assert_eq!((&body["line"], &body["column"]), (&json!(2), &json!(13)));
    }

    #[tokio::test]
    async fn json_of_the_wrong_shape_names_its_field() {
        let (status, body) = post_order(r#"{"lines": [{"sku": "A", "quantity": -1}]}"#).await;
        assert_eq!((status, &body["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid_value")));
        assert_eq!((&body["field"], &body["line"]), (&json!("lines[0].quantity"), &json!(1)));
        let (_, body) = post_order(r#"{"lines": [], "total": 1}"#).await;
        assert!(body["detail"].as_str().unwrap().contains("unknown field `total`"), "{body}");
    }

    #[tokio::test]
    async fn text_after_the_document_is_refused() {
        let (status, body) = post_order(r#"{"lines": []} {"lines": []}"#).await;
        assert_eq!((status, &body["column"]), (StatusCode::BAD_REQUEST, &json!(15)));
    }

    #[tokio::test]
    async fn another_content_type_is_refused() {
        let (status, body) = send("POST", "/orders", "text/plain", "{}").await;
        assert_eq!(
            (status, &body["code"]),
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, &json!("unsupported_media_type"))
        );
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_refused_and_one_at_the_limit_is_read() {
        let body = |length: usize| {
            let frame = r#"{"lines": []}"#;
            format!("{}{frame}", " ".repeat(length - frame.len()))
        };
        assert_eq!(post_order(body(1 << 20)).await.0, StatusCode::OK);
        let (status, problem) = post_order(body((1 << 20) + 1)).await;
        assert_eq!((status, &problem["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("body_too_large")));
    }

    #[tokio::test]
    async fn bad_path_and_query_parameters_are_named() {
        let (status, body) = send("GET", "/orders/twelve", "", "").await;
        assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &json!("invalid_request")));
        assert!(body["detail"].as_str().unwrap().contains("twelve"), "{body}");
        let (status, body) = send("GET", "/stock?limit=many", "", "").await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(body["detail"].as_str().unwrap().contains("limit"), "{body}");
        let (_, body) = send("GET", "/stock?limt=3", "", "").await;
        assert!(body["detail"].as_str().unwrap().contains("limt"), "{body}");
    }
}
