//! What is asked, and what counts as done.

use std::io::Write as _;

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was done.
    Accepted,
    /// The server was too busy, said so, and did nothing.
    Refused,
    /// Anything else.
    Failed,
}

/// The requests of one connection, one after the other.
pub trait Requests {
    /// Writes the next request, head and body, into `buffer`, which still holds the last one; false: there is no further
    /// one.
    fn next(&mut self, buffer: &mut Vec<u8>) -> bool;

    /// What the answer to that request says. By default the status decides: 2xx is accepted, 429 and 503 are refused.
    fn judge(&mut self, status: u16, _body: &[u8]) -> Verdict {
        match status {
            200..=299 => Verdict::Accepted,
            429 | 503 => Verdict::Refused,
            _ => Verdict::Failed,
        }
    }
}

/// Replaces `buffer` by a `POST` of `body`; `headers` are whole lines, each ended by CR LF.
pub fn post(buffer: &mut Vec<u8>, path: &str, content_type: &str, headers: &str, body: &[u8]) {
    buffer.clear();
    let length = body.len();
    write!(
        buffer,
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\n{headers}content-length: {length}\r\n\r\n"
    )
    .expect("a vector takes everything");
    buffer.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_is_a_head_a_blank_line_and_exactly_its_body() {
        let mut buffer = b"what was there".to_vec();
        post(&mut buffer, "/a", "application/json", "x: y\r\n", b"{}");
        let text = String::from_utf8(buffer).unwrap();
        assert_eq!(
            text,
            "POST /a HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nx: y\r\ncontent-length: 2\r\n\r\n{}"
        );
    }
}
