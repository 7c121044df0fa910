//! One wish under one command id, and the requests that ask for it.

use std::borrow::Cow;

use reqwest::{Method, RequestBuilder};
use schemas::product::ProductCommand;
use schemas::stock::StockCommand;
use schemas::{Command, CommandHash, CommandId, OrderId, Principal, StreamId, Version};
use serde_json::{Value, json};

use super::Nodes;
use crate::history::Wish;

/// A wish under its command id, as it travels over HTTP.
#[derive(Clone, Debug)]
pub struct Operation {
    pub(super) command_id: CommandId,
    pub(super) wish: Wish,
    /// The command's own route; none: only the bulk route takes it.
    resource: Option<(Method, String, Value)>,
    /// As a line of the bulk route; none: only its own route takes it.
    line: Option<Value>,
}

impl Operation {
    /// A command that needs no looking up: it means the same on every route.
    pub fn command(
        command_id: CommandId,
        principal: Principal,
        expected_version: Option<Version>,
        command: &Command,
    ) -> Self {
        let mut line =
            serde_json::to_value(command).expect("commands are made of strings, numbers, lists and maps");
        let kind = line["type"].as_str().unwrap_or_default().to_owned();
        line["command_id"] = json!(command_id);
        if let Some(version) = expected_version {
            line["expected_version"] = json!(version);
        }
        let wish = Wish {
            stream: command.stream(),
            kind: Cow::Owned(kind),
            hash: command.hash(),
            principal,
            expected_version,
        };
        Self { command_id, wish, resource: resource(command), line: Some(line) }
    }

    /// An order as a buyer places it: `body` goes to `POST /v1/orders`, the shop looks its prices up.
    pub fn order(command_id: CommandId, id: &OrderId, body: Value) -> Self {
        let wish = Wish {
            stream: StreamId::from(id),
            kind: Cow::Borrowed("place"),
            hash: CommandHash::of(&body),
            principal: Principal::anonymous(),
            expected_version: None,
        };
        let resource = (Method::POST, "/v1/orders".to_owned(), body);
        Self { command_id, wish, resource: Some(resource), line: None }
    }

    /// Whether both routes take it.
    pub(super) fn has_a_choice(&self) -> bool {
        self.resource.is_some() && self.line.is_some()
    }

    /// The request that asks for it, over the bulk route if that is wanted or the only one; and whether it is.
    pub(super) fn request(&self, nodes: &Nodes, url: &str, prefers_bulk: bool) -> (RequestBuilder, bool) {
        let principal = ("Millrace-Principal", self.wish.principal.as_str());
        match (&self.resource, &self.line) {
            (Some((method, path, body)), line) if !prefers_bulk || line.is_none() => {
                let request = nodes.client().request(method.clone(), format!("{url}{path}")).json(body);
                let request = request.header(principal.0, principal.1);
                let mut request = request.header("Millrace-Command-Id", self.command_id.to_string());
                if let Some(version) = self.wish.expected_version {
                    request = request.header("If-Match", format!("\"{version}\""));
                }
                (request, false)
            }
            (_, line) => {
                let line = line.as_ref().map(Value::to_string).unwrap_or_default();
                let request = nodes.client().post(format!("{url}/v1/commands")).body(line + "\n");
                let request = request.header("Content-Type", "application/x-ndjson");
                (request.header(principal.0, principal.1), true)
            }
        }
    }
}

/// The route of its own that a command has.
fn resource(command: &Command) -> Option<(Method, String, Value)> {
    let data = serde_json::to_value(command).ok()?["data"].take();
    let (method, path, body) = match command {
        Command::Stock { id, body } => match body {
            StockCommand::Receive(_) => (Method::POST, format!("/v1/stock/{id}/receive"), data),
            StockCommand::Adjust(_) => (Method::POST, format!("/v1/stock/{id}/adjust"), data),
            StockCommand::SetLowStockThreshold(_) => {
                (Method::POST, format!("/v1/stock/{id}/low-stock-threshold"), data)
            }
            _ => return None,
        },
        Command::Product { id, body } => match body {
            ProductCommand::Describe(_) => (Method::PUT, format!("/v1/products/{id}"), data),
            ProductCommand::Price(_) => (Method::POST, format!("/v1/products/{id}/price"), data),
            ProductCommand::Publish(_) => (Method::POST, format!("/v1/products/{id}/publish"), data),
            _ => return None,
        },
        _ => return None,
    };
    Some((method, path, body))
}
