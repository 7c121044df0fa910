//! Asking a running process: a small client whose errors say what to do.

use std::time::Duration;

use bytes::BytesMut;
use reqwest::{Client, Response, Url};
use serde::de::DeserializeOwned;
use service_kit::Problem;

use crate::report::{hinted, hinted_because};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest pause within an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// A client of one process.
pub(crate) struct ApiClient {
    base: Url,
    client: Client,
}

impl ApiClient {
    /// A client of the process at `url`; nothing is asked yet.
    pub(crate) fn new(url: &str) -> anyhow::Result<Self> {
        let unusable = |why: String| {
            hinted(
                format!("{url:?} is not the address of a process: {why}"),
                "it looks like http://127.0.0.1:8080",
            )
        };
        let base = Url::parse(url).map_err(|error| unusable(error.to_string()))?;
        if base.scheme() != "http" || base.host().is_none() {
            return Err(unusable("an http:// address is needed".to_owned()));
        }
        let client =
            Client::builder().connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true).no_proxy().build()?;
        Ok(Self { base, client })
    }

    /// The address of a path, its segments encoded.
    pub(crate) fn at<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut().expect("http addresses have paths").clear().extend(segments);
        url
    }

    /// The whole answer to a GET, as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, url: Url) -> anyhow::Result<T> {
        self.parse(url.clone(), self.get(url).await?).await
    }

    /// The whole answer to a POST without a body, as JSON.
    pub(crate) async fn post<T: DeserializeOwned>(&self, url: Url) -> anyhow::Result<T> {
        let response = self.send(url.clone(), self.client.post(url.clone())).await?;
        self.parse(url, response).await
    }

    async fn parse<T: DeserializeOwned>(&self, url: Url, response: Response) -> anyhow::Result<T> {
        let text = tokio::time::timeout(READ_TIMEOUT, response.bytes())
            .await
            .map_err(|_| anyhow::anyhow!("{url} does not go on answering"))??;
        serde_json::from_slice(&text).map_err(|error| {
            hinted_because(
                format!("the answer of {url} is not what this version expects"),
                "is it another program, or another version of millrace?",
                error,
            )
        })
    }

    /// The answer to a GET; anything but a success is an error with the problem's own words.
    pub(crate) async fn get(&self, url: Url) -> anyhow::Result<Response> {
        self.send(url.clone(), self.client.get(url)).await
    }

    async fn send(&self, url: Url, request: reqwest::RequestBuilder) -> anyhow::Result<Response> {
        let response = tokio::time::timeout(READ_TIMEOUT, request.send())
            .await
            .map_err(|_| anyhow::anyhow!("{url} does not answer"))?
            .map_err(|error| {
                hinted_because(
                    format!("nobody answers at {}", self.base),
                    "start `millrace up`, or say where it runs with --url (or MILLRACE_URL)",
                    error.without_url(),
                )
            })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let text = response.bytes().await.unwrap_or_default();
        Err(match serde_json::from_slice::<Problem>(&text) {
            Ok(problem) => {
                let detail = problem.detail.as_ref().unwrap_or(&problem.title);
                let message = format!("{detail} ({}, {})", problem.code, problem.status);
                match problem.hint {
                    Some(hint) => hinted(message, hint),
                    None => anyhow::anyhow!(message),
                }
            }
            Err(_) => hinted(format!("{url} answers {status}"), "is that a millrace process?"),
        })
    }
}

/// Cuts a streamed answer into lines.
pub(crate) struct Lines {
    response: Response,
    buffer: BytesMut,
    searched: usize,
}

impl Lines {
    /// The lines of an answer.
    pub(crate) fn of(response: Response) -> Self {
        Self { response, buffer: BytesMut::new(), searched: 0 }
    }

    /// The next line without its end; `None` after the last one.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<BytesMut>> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let mut line = self.buffer.split_to(self.searched + at + 1);
                line.truncate(line.len() - 1);
                self.searched = 0;
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            match self.response.chunk().await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None if self.buffer.is_empty() => return Ok(None),
                None => {
                    self.searched = 0;
                    return Ok(Some(self.buffer.split()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_encoded_and_the_base_may_end_in_a_slash() {
        let client = ApiClient::new("http://127.0.0.1:8080/").unwrap();
        let url = client.at(["v1", "streams", "stock", "a/b c"]);
        assert_eq!(url.as_str(), "http://127.0.0.1:8080/v1/streams/stock/a%2Fb%20c");
    }

    #[test]
    fn an_address_without_a_scheme_is_refused_with_an_example() {
        let error = ApiClient::new("localhost:8080").err().unwrap();
        assert!(crate::report::explain(&error).0.contains("hint: it looks like http://127.0.0.1:8080"));
    }
}
