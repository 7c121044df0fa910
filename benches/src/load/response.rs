//! Reads HTTP/1.1 answers as they arrive, in whatever pieces.

/// Most headers of an answer.
const HEADERS_MAX: usize = 32;

/// Why the bytes are no answer that this client understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// The head is not HTTP/1.1.
    #[error("not an HTTP head: {0}")]
    Head(httparse::Error),
    /// Neither a length nor chunks: the body would end with the connection.
    #[error("a body of unknown length")]
    Unbounded,
    /// The framing of a chunk is broken.
    #[error("a broken chunk")]
    Chunk,
}

/// What [`ResponseDecoder::feed`] took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed {
    /// Bytes of the input that are dealt with.
    pub taken: usize,
    /// Whether the answer is complete; what follows it was not taken.
    pub done: bool,
}

/// The state of one answer after the other.
#[derive(Debug, Default)]
pub struct ResponseDecoder {
    state: State,
    status: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    /// Bytes of a body of known length that are to come.
    Body(usize),
    ChunkSize,
    Chunk(usize),
    /// The line break after a chunk.
    ChunkEnd,
    /// Lines after the last chunk, up to an empty one.
    Trailer,
}

impl ResponseDecoder {
    /// Status of the answer whose head was read last; 0 before the first.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Takes from `input` what it can, and appends what belongs to the body to `body`. Interim answers (1xx) are skipped.
    ///
    /// # Errors
    /// When the bytes cannot be an answer; the connection is of no use then.
    pub fn feed(&mut self, input: &[u8], body: &mut Vec<u8>) -> Result<Fed, ResponseError> {
        let mut taken = 0;
        loop {
            let rest = &input[taken..];
            match self.state {
                State::Head => match self.head(rest)? {
                    0 => return Ok(Fed { taken, done: false }),
                    bytes => taken += bytes,
                },
                State::Body(0) => {
                    self.state = State::Head;
                    return Ok(Fed { taken, done: true });
                }
                State::Body(left) | State::Chunk(left) => {
                    let bytes = left.min(rest.len());
                    body.extend_from_slice(&rest[..bytes]);
                    taken += bytes;
                    let left = left - bytes;
                    self.state = match self.state {
                        State::Chunk(_) if left == 0 => State::ChunkEnd,
                        State::Chunk(_) => State::Chunk(left),
                        _ => State::Body(left),
                    };
                    if left > 0 {
                        return Ok(Fed { taken, done: false });
                    }
                }
                State::ChunkSize | State::ChunkEnd | State::Trailer => {
                    let Some((line, bytes)) = line(rest) else { return Ok(Fed { taken, done: false }) };
                    taken += bytes;
                    if self.line(line)? {
                        return Ok(Fed { taken, done: true });
                    }
                }
            }
        }
    }

    /// Reads a head; its length, 0 while it is incomplete.
    fn head(&mut self, input: &[u8]) -> Result<usize, ResponseError> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let bytes = match response.parse(input).map_err(ResponseError::Head)? {
            httparse::Status::Partial => return Ok(0),
            httparse::Status::Complete(bytes) => bytes,
        };
        self.status = response.code.unwrap_or_default();
        if (100..200).contains(&self.status) {
            return Ok(bytes);
        }
        let find = |name: &str| {
            let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.and_then(|header| std::str::from_utf8(header.value).ok())
        };
        let is_chunked = find("transfer-encoding").is_some_and(|coding| coding.trim() == "chunked");
        let length = find("content-length").and_then(|length| length.trim().parse().ok());
        self.state = match (is_chunked, length, self.status) {
            (_, _, 204 | 304) => State::Body(0),
            (true, _, _) => State::ChunkSize,
            (false, Some(length), _) => State::Body(length),
            (false, None, _) => return Err(ResponseError::Unbounded),
        };
        Ok(bytes)
    }

    /// A line of the chunked coding; whether the answer is complete.
    fn line(&mut self, line: &[u8]) -> Result<bool, ResponseError> {
        match self.state {
            State::ChunkSize => {
                let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
                let digits = std::str::from_utf8(digits).map_err(|_| ResponseError::Chunk)?;
                let size = usize::from_str_radix(digits.trim(), 16).map_err(|_| ResponseError::Chunk)?;
                self.state = if size == 0 { State::Trailer } else { State::Chunk(size) };
            }
            State::ChunkEnd if line.is_empty() => self.state = State::ChunkSize,
            State::ChunkEnd => return Err(ResponseError::Chunk),
            State::Trailer if line.is_empty() => {
                self.state = State::Head;
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }
}

/// The first line without its line break, and its length with it.
fn line(input: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr::memchr(b'\n', input)?;
    let line = &input[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `pieces` as a connection would: what was not taken comes again, in front of the next piece.
    fn read(pieces: &[&[u8]]) -> Result<Vec<(u16, String)>, ResponseError> {
        let (mut decoder, mut waiting, mut body, mut all) =
            (ResponseDecoder::default(), Vec::new(), Vec::new(), Vec::new());
        for piece in pieces {
            waiting.extend_from_slice(piece);
            loop {
                let Fed { taken, done } = decoder.feed(&waiting, &mut body)?;
                waiting.drain(..taken);
                if !done {
                    break;
                }
                all.push((decoder.status(), String::from_utf8(std::mem::take(&mut body)).unwrap()));
            }
        }
        assert!(waiting.is_empty() && body.is_empty(), "left over: {waiting:?} {body:?}");
        Ok(all)
    }

    const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\
        HTTP/1.1 100 Continue\r\n\r\n\
        HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\n\r\n\
        HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nab\r\n\r\n1;x=y\r\nc\r\n0\r\ntrailer: x\r\n\r\n\
        HTTP/1.1 204 No Content\r\n\r\n";

    #[test]
    fn answers_are_the_same_however_the_bytes_are_cut() {
        let expected: Vec<_> =
            [(200, "hello"), (503, ""), (200, "ab\r\nc"), (204, "")].map(|(s, b)| (s, b.to_owned())).into();
        for at in 0..=STREAM.len() {
            let (head, tail) = STREAM.split_at(at);
            assert_eq!(read(&[head, tail]).unwrap(), expected, "cut at {at}");
        }
        let bytes: Vec<&[u8]> = STREAM.chunks(1).collect();
        assert_eq!(read(&bytes).unwrap(), expected);
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        assert!(matches!(read(&[b"SSH-2.0-x\r\n\r\n"]), Err(ResponseError::Head(_))));
        assert_eq!(read(&[b"HTTP/1.1 200 OK\r\n\r\n"]), Err(ResponseError::Unbounded));
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(read(&[chunked, b"xyz\r\n"]), Err(ResponseError::Chunk));
        assert_eq!(read(&[chunked, b"1\r\nab\r\n"]), Err(ResponseError::Chunk));
    }
}
