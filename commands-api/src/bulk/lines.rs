//! A body as lines of bounded length.

use axum::body::{Body, BodyDataStream};
use bytes::BytesMut;
use futures::StreamExt;

/// One line that is not empty, with its number (first is 1; empty ones count).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Its text without the end of line.
    Text(u64, BytesMut),
    /// It is longer than allowed and was skipped.
    TooLong(u64),
    /// The body ended with an error in it; the last line there is.
    BrokenOff(u64),
}

impl Line {
    pub(super) fn number(&self) -> u64 {
        match self {
            Self::Text(number, _) | Self::TooLong(number) | Self::BrokenOff(number) => *number,
        }
    }
}

/// Reads lines; holds at most one line and one chunk of the body.
pub(super) struct Lines {
    body: BodyDataStream,
    line_bytes_max: usize,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no end of line.
    searched: usize,
    /// Lines begun so far that have ended.
    number: u64,
    /// Whether the rest of the running line is thrown away.
    skipping: bool,
    ended: bool,
}

impl Lines {
    pub(super) fn new(body: Body, line_bytes_max: usize) -> Self {
        Self {
            body: body.into_data_stream(),
            line_bytes_max,
            buffer: BytesMut::new(),
            searched: 0,
            number: 0,
            skipping: false,
            ended: false,
        }
    }

    /// The next line; none: the body has ended. Cancel-safe: what was read stays in the buffer.
    pub(super) async fn next(&mut self) -> Option<Line> {
        loop {
            while let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let mut text = self.buffer.split_to(self.searched + at + 1);
                text.truncate(text.len() - 1);
                if let Some(line) = self.line(text) {
                    return Some(line);
                }
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > self.line_bytes_max {
                self.skipping = true;
                self.buffer.clear();
                self.searched = 0;
            }
            if self.ended {
                let rest = self.buffer.split();
                return if rest.is_empty() && !self.skipping { None } else { self.line(rest) };
            }
            match self.body.next().await {
                Some(Ok(chunk)) => self.buffer.extend_from_slice(&chunk),
                None => self.ended = true,
                Some(Err(error)) => {
                    tracing::debug!(%error, "a bulk body broke off");
                    self.ended = true;
                    self.buffer.clear();
                    self.skipping = false;
                    self.searched = 0;
                    return Some(Line::BrokenOff(self.number + 1));
                }
            }
        }
    }

    /// The line of `text`, none when it is empty.
    fn line(&mut self, mut text: BytesMut) -> Option<Line> {
        self.number += 1;
        self.searched = 0;
        if std::mem::take(&mut self.skipping) || text.len() > self.line_bytes_max {
            return Some(Line::TooLong(self.number));
        }
        if text.last() == Some(&b'\r') {
            text.truncate(text.len() - 1);
        }
        (!text.iter().all(u8::is_ascii_whitespace)).then(|| Line::Text(self.number, text))
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    async fn read(chunks: &[&str], line_bytes_max: usize) -> Vec<Line> {
        let chunks: Vec<_> =
            chunks.iter().map(|chunk| Ok::<_, std::io::Error>(chunk.to_string().into_bytes())).collect();
        let mut lines = Lines::new(Body::from_stream(stream::iter(chunks)), line_bytes_max);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await {
            all.push(line);
        }
        all
    }

    fn text(number: u64, text: &str) -> Line {
        Line::Text(number, text.into())
    }

    #[tokio::test]
    async fn lines_are_the_same_however_the_body_is_cut() {
        let body = "one\r\n\ntwo\n three\nlast";
        let expected = [text(1, "one"), text(3, "two"), text(4, " three"), text(5, "last")];
        for at in 0..body.len() {
            let (head, tail) = body.split_at(at);
            assert_eq!(read(&[head, tail], 10).await, expected, "cut at {at}");
        }
        let letters: Vec<&str> = body.split_inclusive(|_| true).collect();
        assert_eq!(read(&letters, 10).await, expected);
    }

    #[tokio::test]
    async fn a_line_beyond_the_limit_is_skipped_and_the_next_one_is_read() {
        let long = "x".repeat(11);
        for chunks in
            [vec![long.as_str(), "\nok\n"], vec!["xxxxxx", "xxxxx", "xx\nok"], vec!["xxxxxxxxxxx\nok"]]
        {
            assert_eq!(read(&chunks, 10).await, [Line::TooLong(1), text(2, "ok")], "{chunks:?}");
        }
        assert_eq!(read(&[&long], 10).await, [Line::TooLong(1)]);
        assert_eq!(read(&["xxxxxxxxxx\n"], 10).await, [text(1, "xxxxxxxxxx")]);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_says_in_which_line() {
        let chunks = [Ok("one\ntw"), Err(std::io::Error::other("gone"))];
        let mut lines = Lines::new(Body::from_stream(stream::iter(chunks)), 10);
        assert_eq!(lines.next().await, Some(text(1, "one")));
        assert_eq!(lines.next().await, Some(Line::BrokenOff(2)));
        assert_eq!(lines.next().await, None);
    }
}
