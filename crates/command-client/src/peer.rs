//! From node to node: commands and questions for the owner of their shard.

use std::sync::Arc;

use schemas::{CommandEnvelope, InstallationSecret};
use serde::Serialize;
use serde::de::DeserializeOwned;
use service_kit::Tasks;

use crate::http::{HttpCommands, HttpCommandsConfig, HttpCommandsError, describe, http_client, url_of};
use crate::wire::{LANE, PEER_FACTS, PROOF};
use crate::{Answer, Commands, SubmitError};

/// Bulk commands of one request to a peer.
const BULK_COMMANDS: usize = 1_024;

/// Which queue of the owner a command waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerLane {
    /// A caller waits for this one command.
    Single,
    /// One of many of one request.
    Bulk,
}

impl PeerLane {
    /// As the header says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Bulk => "bulk",
        }
    }
}

/// How a node makes itself known to a peer.
#[derive(Clone, Debug)]
pub(crate) struct Introduction {
    secret: Option<Arc<InstallationSecret>>,
    lane: PeerLane,
}

impl Introduction {
    /// Adds the headers for `body`.
    pub(crate) fn sign(&self, request: reqwest::RequestBuilder, body: &[u8]) -> reqwest::RequestBuilder {
        let request = request.header(LANE, self.lane.as_str());
        match &self.secret {
            Some(secret) => request.header(PROOF, secret.sign(body).to_string()),
            // Believed by peers on the same machine only.
            None => request,
        }
    }
}

/// Another node of the installation; a cheap clone.
///
/// A peer takes commands of the shards that it owns and passes nothing on, so a wrong guess costs one hop. The same
/// command id has the same outcome through whichever node it is submitted.
#[derive(Clone, Debug)]
pub struct Peer {
    single: HttpCommands,
    bulk: HttpCommands,
    client: reqwest::Client,
    facts: reqwest::Url,
    introduction: Introduction,
}

impl Peer {
    /// A peer that listens on `address` (`host:port`); nothing is connected before the first use. `secret` proves who we
    /// are; without one only a peer on the same machine believes us.
    pub fn start(
        tasks: &Tasks,
        address: &str,
        secret: Option<Arc<InstallationSecret>>,
    ) -> Result<Self, HttpCommandsError> {
        let single = HttpCommandsConfig {
            url: format!("http://{address}"),
            // Whatever has gathered while the last request was written travels with the next one.
            batch_wait_ms: 0,
            connect_timeout_ms: 1_000,
            ..HttpCommandsConfig::default()
        };
        // One request at a time: the commands of one stream arrive in the order in which they were submitted.
        let bulk = HttpCommandsConfig {
            batch_commands_max: BULK_COMMANDS,
            requests_in_flight_max: 1,
            ..single.clone()
        };
        let introduction = |lane| Introduction { secret: secret.clone(), lane };
        Ok(Self {
            client: http_client(&single)?,
            facts: url_of(&single.url, PEER_FACTS)?,
            single: HttpCommands::start_as(tasks, single, Some(introduction(PeerLane::Single)))?,
            bulk: HttpCommands::start_as(tasks, bulk, Some(introduction(PeerLane::Bulk)))?,
            introduction: introduction(PeerLane::Single),
        })
    }

    /// Submits a command to this peer, which decides it if it owns the shard.
    pub async fn submit(&self, envelope: CommandEnvelope, lane: PeerLane) -> Result<Answer, SubmitError> {
        match lane {
            PeerLane::Single => self.single.submit(envelope).await,
            PeerLane::Bulk => self.bulk.submit(envelope).await,
        }
    }

    /// Asks this peer about what it owns. Asking changes nothing, so every failure is "no answer".
    pub async fn ask<Q: Serialize + Sync, A: DeserializeOwned>(
        &self,
        question: &Q,
    ) -> Result<A, SubmitError> {
        let broken =
            |source: service_kit::BoxError| SubmitError::Transport { url: self.facts.to_string(), source };
        let body = serde_json::to_vec(question).map_err(|e| broken(e.into()))?;
        let request = self.client.post(self.facts.clone()).header("content-type", "application/json");
        let request = self.introduction.sign(request, &body).body(body);
        let response = request.send().await.map_err(|e| broken(describe(e)))?;
        if !response.status().is_success() {
            return Err(SubmitError::ShardUnavailable);
        }
        let answer = response.bytes().await.map_err(|e| broken(describe(e)))?;
        serde_json::from_slice(&answer).map_err(|e| broken(e.into()))
    }
}
