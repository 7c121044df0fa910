//! Who asks, under which command id, believing what: everything about a request that is not its wish.

use std::net::SocketAddr;
use std::sync::Arc;

use aggregate_host::Lane;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use schemas::{
    Command, CommandEnvelope, CommandHash, CommandId, ErrorCode, ExpectedVersion, Outcome, Principal,
    Reference, Timestamp, Version,
};
use serde::Serialize;
use service_kit::Problem;
use uuid::Uuid;

use crate::answer::{Answered, CommandAnswer};
use crate::app::Api;
use crate::deferred::Deferred;
use crate::error::ApiError;
use crate::sequence::Link;

/// Request header: a key of the caller's choice that stands for one command.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Request header: repeats the command of this id. Answer header: the command.
pub(crate) const COMMAND_ID: &str = "millrace-command-id";
/// Request header: who asks; believed on loopback only.
pub(crate) const PRINCIPAL: &str = "millrace-principal";
const IF_MATCH: &str = "if-match";
const PREFER: &str = "prefer";
/// The preference for an answer before the outcome.
pub(crate) const RESPOND_ASYNC: &str = "respond-async";
const TRACEPARENT: &str = "traceparent";

/// Longest idempotency key, characters.
pub(crate) const IDEMPOTENCY_KEY_MAX: usize = 255;

/// Who sends a request.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    pub(crate) principal: Principal,
    pub(crate) traceparent: Option<String>,
}

impl Sender {
    /// Reads the principal (on loopback; elsewhere whatever is claimed is ignored) and the trace context.
    pub(crate) fn read(headers: &HeaderMap, peer: Option<SocketAddr>) -> Result<Self, Problem> {
        let loopback = peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
        let principal = match headers.get(PRINCIPAL).filter(|_| loopback) {
            None => Principal::anonymous(),
            Some(claimed) => {
                let name = claimed.to_str().map_err(|_| invalid("Millrace-Principal is not plain text"))?;
                Principal::new(name).map_err(|error| invalid(format!("Millrace-Principal: {error}")))?
            }
        };
        let traceparent = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
        Ok(Self {
            principal,
            traceparent: traceparent.filter(|text| is_traceparent(text)).map(str::to_owned),
        })
    }
}

/// One request for one command; an extractor that the layer around it has filled.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) api: Api,
    pub(crate) sender: Sender,
    pub(crate) command_id: CommandId,
    pub(crate) expected_version: ExpectedVersion,
    /// `Prefer: respond-async`: the caller wants to be told where to look for the outcome instead of waiting for it.
    pub(crate) prefers_async: bool,
}

impl Call {
    /// Reads the headers. The command id is there in any case, for the answer to name.
    pub(crate) fn read(
        api: Api,
        headers: &HeaderMap,
        peer: Option<SocketAddr>,
    ) -> (CommandId, Result<Self, Problem>) {
        let sender = match Sender::read(headers, peer) {
            Ok(sender) => sender,
            Err(problem) => return (fresh_command_id(), Err(problem)),
        };
        let command_id = match command_id(headers, &sender.principal) {
            Ok(command_id) => command_id,
            Err(problem) => return (fresh_command_id(), Err(problem)),
        };
        let call = expected_version(headers).map(|expected_version| Self {
            api,
            sender,
            command_id,
            expected_version,
            prefers_async: prefers_async(headers),
        });
        (command_id, call)
    }

    /// Decides `command` and waits for its outcome.
    pub(crate) async fn submit(&self, command: Command) -> Result<Answered, ApiError> {
        self.submit_envelope(self.envelope(command)).await
    }

    /// As [`Call::submit`], for a command with looked-up facts: `request` is what tells two wishes under one id apart.
    pub(crate) async fn submit_made_from(
        &self,
        request: &impl Serialize,
        command: Command,
        occurred_at: Option<Timestamp>,
    ) -> Result<Answered, ApiError> {
        let mut envelope = self.envelope(command);
        envelope.request_hash = Some(CommandHash::of(&(envelope.command.stream().to_string(), request)));
        envelope.occurred_at = occurred_at;
        self.submit_envelope(envelope).await
    }

    async fn submit_envelope(&self, envelope: CommandEnvelope) -> Result<Answered, ApiError> {
        let stream = envelope.command.stream();
        if self.prefers_async && self.api.shards.host().can_defer() {
            let position = self.api.shards.host().defer(&envelope).await?;
            return Ok(Answered::Deferred(Deferred::new(self.command_id, &stream, position)));
        }
        let answer = self.api.shards.submit(Arc::new(envelope), Lane::Single, Link::default()).await?;
        let (outcome, version, position) = match answer.outcome {
            Outcome::Accepted(accepted) => ("accepted", accepted.version, Some(accepted.position)),
            Outcome::Unchanged { version } => ("unchanged", version, None),
            Outcome::Rejected(rejection) => return Err(ApiError::rejected(&rejection, answer.replayed)),
        };
        Ok(Answered::new(CommandAnswer {
            command_id: self.command_id,
            outcome,
            stream: stream.to_string(),
            id: stream.id().to_owned(),
            version,
            position,
            replayed: answer.replayed,
        }))
    }

    fn envelope(&self, command: Command) -> CommandEnvelope {
        CommandEnvelope {
            expected_version: self.expected_version,
            traceparent: self.sender.traceparent.clone(),
            ..CommandEnvelope::new(self.command_id, self.sender.principal.clone(), command)
        }
    }

    /// The id that a creation without one gets: the same for a repeated request.
    pub(crate) fn id_or_derived<T: std::str::FromStr<Err = schemas::IdError>>(&self, given: Option<T>) -> T {
        given.unwrap_or_else(|| {
            self.command_id.derived_id().parse().expect("32 hex digits are of every id's alphabet")
        })
    }

    /// The reference that a deed without one gets: the same for a repeated request.
    pub(crate) fn reference_or_derived(&self, given: Option<Reference>) -> Reference {
        given.unwrap_or_else(|| {
            self.command_id.derived_id().parse().expect("32 hex digits are a document's name")
        })
    }
}

impl<S: Sync> FromRequestParts<S> for Call {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.remove::<Self>().ok_or_else(|| {
            tracing::error!("a command route stands outside of its layer");
            ApiError::of(ErrorCode::Internal)
        })
    }
}

/// The peer that the server told us of.
pub(crate) fn peer(extensions: &axum::http::Extensions) -> Option<SocketAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer)
}

/// A command id for a wish that nobody named.
pub(crate) fn fresh_command_id() -> CommandId {
    CommandId::new(Uuid::now_v7())
}

/// The command id of an idempotency key, which is 1 to 255 visible ASCII characters.
pub(crate) fn command_id_of_key(principal: &Principal, key: &str) -> Result<CommandId, Problem> {
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid(format!(
            "an idempotency key is 1 to {IDEMPOTENCY_KEY_MAX} visible ASCII characters"
        )));
    }
    Ok(CommandId::from_idempotency_key(principal, key))
}

fn command_id(headers: &HeaderMap, principal: &Principal) -> Result<CommandId, Problem> {
    match (headers.get(IDEMPOTENCY_KEY), headers.get(COMMAND_ID)) {
        (None, None) => Ok(fresh_command_id()),
        // Bytes that are no text are no visible characters either; the check says so.
        (Some(key), None) => command_id_of_key(principal, key.to_str().unwrap_or_default()),
        (None, Some(id)) => id
            .to_str()
            .unwrap_or_default()
            .parse()
            .map_err(|error| invalid(format!("Millrace-Command-Id: {error}"))),
        (Some(_), Some(_)) => Err(invalid("Idempotency-Key and Millrace-Command-Id both name the command")),
    }
}

fn expected_version(headers: &HeaderMap) -> Result<ExpectedVersion, Problem> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(ExpectedVersion::Any) };
    let text = value.to_str().unwrap_or_default().trim();
    let tag = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    // The tag of a document that is put together says, behind a dash, what else is in it.
    let is_hash = |rest: &str| rest.len() == 16 && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = tag.and_then(|tag| match tag.split_once('-') {
        Some((number, rest)) => is_hash(rest).then_some(number),
        None => Some(tag),
    });
    number
        .filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .map(|version| ExpectedVersion::Exactly(Version::new(version)))
        .ok_or_else(|| {
            invalid(format!("If-Match is {text:?}, not one version in quotes, as in If-Match: \"3\""))
        })
}

/// Whether one of the request's preferences (RFC 7240) is `respond-async`.
fn prefers_async(headers: &HeaderMap) -> bool {
    let preferences = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut preferences = preferences.flat_map(|line| line.split(','));
    preferences.any(|preference| {
        let name = preference.split([';', '=']).next().unwrap_or_default().trim();
        name.eq_ignore_ascii_case(RESPOND_ASYNC)
    })
}

/// W3C trace context, version 00; anything else is not passed on, as the standard wants it.
fn is_traceparent(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut hex = |digits: usize| {
        parts.next().is_some_and(|part| {
            part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    text.starts_with("00-") && hex(2) && hex(32) && hex(16) && hex(2) && parts.next().is_none()
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::of(ErrorCode::InvalidRequest).detail(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
    }

    #[test]
    fn a_principal_is_believed_on_loopback_only() {
        let claimed = headers(PRINCIPAL, "importer");
        let who = |peer: Option<&str>| {
            Sender::read(&claimed, peer.map(|peer| peer.parse().unwrap())).unwrap().principal
        };
        for loopback in ["127.0.0.1:5", "127.9.9.9:5", "[::1]:5", "[::ffff:127.0.0.1]:5"] {
            assert_eq!(who(Some(loopback)).as_str(), "importer", "{loopback}");
        }
        for elsewhere in [Some("10.0.0.1:5"), Some("[2001:db8::1]:5"), None] {
            assert_eq!(who(elsewhere), Principal::anonymous(), "{elsewhere:?}");
        }
        let broken = headers(PRINCIPAL, "a/b");
        assert!(Sender::read(&broken, Some("127.0.0.1:5".parse().unwrap())).is_err());
    }

    #[test]
    fn if_match_is_one_version_in_quotes() {
        let read = |text| expected_version(&headers(IF_MATCH, text));
        assert_eq!(read("\"3\""), Ok(ExpectedVersion::Exactly(Version::new(3))));
        assert_eq!(read("\"3-00ff00ff00ff00ff\""), Ok(ExpectedVersion::Exactly(Version::new(3))));
        for bad in ["\"3-\"", "\"3-7\"", "3", "*", "W/\"3\"", "\"3\", \"4\"", "\"+3\"", "\"\""] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_are_visible_and_bounded() {
        let of = |key: &str| command_id_of_key(&Principal::anonymous(), key);
        assert!(of(&"k".repeat(255)).is_ok());
        for bad in ["", "a b", "\u{e4}", &"k".repeat(256)] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_well_formed_trace_context_is_carried() {
        assert!(is_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-x-y-z",
            "00-X-00f067aa0ba902b7-01",
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }
}
