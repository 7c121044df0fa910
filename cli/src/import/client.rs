//! The shop over HTTP: commands through the bulk route, answers through the query API.

use std::time::Duration;

use command_client::wire::AnswerLine;
use reqwest::{Response, StatusCode, Url};
use schemas::order::{CancelReason, OrderStatus};
use schemas::{OrderId, Positions, Principal, Retry};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use service_kit::{Chain, Problem};

use super::figures::Figures;
use crate::api_client::Lines;
use crate::report::hinted;

/// Who imports: has the permission to state prices and past times.
const PRINCIPAL: &str = "importer";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest pause within an answer; longer than the server lets a line wait for an overloaded shard (60 s).
const READ_TIMEOUT: Duration = Duration::from_secs(90);

/// A client of one shop.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    principal: Principal,
}

/// Why a request has no (complete) answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The connection did not carry it; whether it arrived is not known.
    #[error("{0}")]
    Connection(String),
    /// The server answered otherwise.
    #[error("{}", super::tally::reason(Some(.0)))]
    Problem(Box<Problem>),
    /// The answer is not one of this version of Millrace.
    #[error("{0}")]
    Foreign(String),
}

impl Failure {
    /// Whether repeating can help.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Connection(_) => true,
            Self::Problem(problem) => problem.retry != Retry::Never,
            Self::Foreign(_) => false,
        }
    }

    /// How long the server wants to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Problem(problem) => problem.retry_after_seconds.map(Duration::from_secs),
            _ => None,
        }
    }

    fn connection(error: reqwest::Error) -> Self {
        Self::Connection(Chain(&error.without_url()).to_string())
    }
}

/// Where an order stands, as the query API says.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct OrderState {
    pub(super) status: OrderStatus,
    #[serde(default)]
    pub(super) cancel: Option<CancelState>,
}

/// Why an order was cancelled.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct CancelState {
    pub(super) reason: CancelReason,
    #[serde(default)]
    pub(super) detail: String,
}

/// The shop's totals over all days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Totals {
    #[serde(flatten)]
    pub(super) figures: Figures,
    /// Granted for returned lines; what of it is not in `refunds` the payment provider still owes.
    #[serde(default)]
    pub(super) return_value: i64,
}

impl Client {
    /// A client of the shop at `url`; nothing is asked yet.
    pub(super) fn new(url: &str) -> anyhow::Result<Self> {
        let unusable = |why: &str| {
            hinted(
                format!("{url:?} is not the address of a shop: {why}"),
                "it looks like http://127.0.0.1:8080",
            )
        };
        let base = Url::parse(url).map_err(|error| unusable(&error.to_string()))?;
        if base.scheme() != "http" || base.host().is_none() {
            return Err(unusable("an http:// address is needed"));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .tcp_nodelay(true)
            .no_proxy()
            .build()?;
        let principal = Principal::new(PRINCIPAL).expect("letters are an id's alphabet");
        Ok(Self { http, base, principal })
    }

    /// Whose commands these are.
    pub(super) fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Asks whether the shop is ready; none: it is not yet.
    pub(super) async fn is_ready(&self) -> Result<bool, Failure> {
        let response =
            self.http.get(self.at(["health", "ready"])).send().await.map_err(Failure::connection)?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::SERVICE_UNAVAILABLE => Ok(false),
            status => Err(Failure::Foreign(format!("/health/ready answers {status}"))),
        }
    }

    /// Posts lines of commands. The answers that came are there in any case, with the failure if not all came.
    pub(super) async fn post(&self, lines: Vec<u8>) -> (Vec<AnswerLine>, Option<Failure>) {
        let mut answers = Vec::new();
        let failure = self.exchange(lines, &mut answers).await.err();
        (answers, failure)
    }

    async fn exchange(&self, lines: Vec<u8>, answers: &mut Vec<AnswerLine>) -> Result<(), Failure> {
        let response = self
            .http
            .post(self.at(["v1", "commands"]))
            .header("content-type", "application/x-ndjson")
            .header("millrace-principal", self.principal.as_str())
            .body(lines)
            .send()
            .await
            .map_err(Failure::connection)?;
        let mut lines = Lines::of(succeeded(response).await?);
        while let Some(line) =
            lines.next().await.map_err(|error| Failure::Connection(format!("{error:#}")))?
        {
            answers.push(parse(&line, "the bulk route")?);
        }
        Ok(())
    }

    /// Where an order stands; none: the views don't know it yet.
    pub(super) async fn order(&self, id: &OrderId) -> Result<Option<OrderState>, Failure> {
        match self.get(self.at(["v1", "orders", id.as_str()]), &Positions::new()).await {
            Ok(state) => Ok(Some(state)),
            Err(Failure::Problem(problem)) if problem.status == 404 => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The shop's totals, as of `seen` or later.
    pub(super) async fn totals(&self, seen: &Positions) -> Result<Totals, Failure> {
        self.get(self.at(["v1", "reports", "totals"]), seen).await
    }

    async fn get<T: DeserializeOwned>(&self, url: Url, seen: &Positions) -> Result<T, Failure> {
        let mut request = self.http.get(url.clone());
        if !seen.is_empty() {
            request = request.header("millrace-min-position", seen.to_string());
        }
        let response = succeeded(request.send().await.map_err(Failure::connection)?).await?;
        let text = response.bytes().await.map_err(Failure::connection)?;
        parse(&text, url.path())
    }

    fn at<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut().expect("http addresses have paths").clear().extend(segments);
        url
    }
}

/// The response, if it is a success.
async fn succeeded(response: Response) -> Result<Response, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = response.bytes().await.map_err(Failure::connection)?;
    Err(match serde_json::from_slice::<Problem>(&text) {
        Ok(problem) => Failure::Problem(problem.into()),
        Err(_) => Failure::Foreign(format!("status {status} without a problem document")),
    })
}

fn parse<T: DeserializeOwned>(text: &[u8], whose: &str) -> Result<T, Failure> {
    serde_json::from_slice(text).map_err(|error| {
        Failure::Foreign(format!("the answer of {whose} is not what this version expects: {error}"))
    })
}
