//! Entity tags, and the short answer for whoever has the document already.
//!
//! A document of one stream has the stream's version as its tag, `"3"`, which `If-Match` of a command takes. A document that is
//! put together has the version of the stream that it is about and a hash of the whole, `"3-9c1f…"`: `If-Match` takes that, too,
//! and a payment that moves without its order makes another tag. Pages have a weak tag of their bytes.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use schemas::Version;
use xxhash_rust::xxh3::xxh3_64;

/// The tag of a document of one stream.
pub(crate) fn of_version(version: Version) -> String {
    format!("\"{version}\"")
}

/// The tag of a document that is about the stream at `version`, and has more in it.
pub(crate) fn of_parts(version: Version, body: &[u8]) -> String {
    format!("\"{version}-{:016x}\"", xxh3_64(body))
}

/// The tag of anything else.
pub(crate) fn of_bytes(body: &[u8]) -> String {
    format!("W/\"{:016x}\"", xxh3_64(body))
}

/// Answers 304 without a body where the caller names the tag of what would be answered.
pub(crate) async fn not_modified(request: Request, next: Next) -> Response {
    let known: Vec<HeaderValue> = request.headers().get_all(IF_NONE_MATCH).iter().cloned().collect();
    let mut response = next.run(request).await;
    if response.status() == StatusCode::OK && is_known(&known, response.headers()) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(CONTENT_TYPE);
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    response
}

/// The weak comparison: what the tags say counts, not how strong they are.
fn is_known(known: &[HeaderValue], headers: &HeaderMap) -> bool {
    let Some(tag) = headers.get(ETAG).and_then(|tag| tag.to_str().ok()) else { return false };
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let tag = bare(tag);
    let tags = known.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    tags.into_iter().any(|known| known.trim() == "*" || bare(known) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(if_none_match: &'static str, tag: &'static str) -> bool {
        let headers = HeaderMap::from_iter([(ETAG, HeaderValue::from_static(tag))]);
        is_known(&[HeaderValue::from_static(if_none_match)], &headers)
    }

    #[test]
    fn tags_are_compared_weakly_and_in_lists() {
        assert!(known("\"3\"", "\"3\"") && known("W/\"3\"", "\"3\"") && known("\"a\"", "W/\"a\""));
        assert!(known("\"1\", W/\"3\"", "\"3\"") && known("*", "\"3\""));
        assert!(!known("\"3\"", "\"3-00\"") && !known("3", "\"3\"") && !known("", "\"3\""));
        assert!(!is_known(&[HeaderValue::from_static("*")], &HeaderMap::new()));
    }
}
