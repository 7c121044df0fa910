//! Commands of any aggregate, and the envelope in which they travel.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cart::CartCommand;
use crate::customer::CustomerCommand;
use crate::order::OrderCommand;
use crate::payment::PaymentCommand;
use crate::product::ProductCommand;
use crate::shipment::ShipmentCommand;
use crate::stock::StockCommand;
use crate::{
    CartId, CommandId, CorrelationId, CustomerId, EventId, ExpectedVersion, OrderId, PaymentId, Principal,
    ShipmentId, Sku, StreamId, Timestamp,
};

/// A wish to one aggregate instance.
///
/// In JSON: `{"aggregate": "stock", "id": "85123A", "type": "receive", "data": {…}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "aggregate", rename_all = "snake_case")]
#[allow(missing_docs, reason = "each variant is the instance's id and the aggregate's own command")]
pub enum Command {
    Product {
        id: Sku,
        #[serde(flatten)]
        body: ProductCommand,
    },
    Stock {
        id: Sku,
        #[serde(flatten)]
        body: StockCommand,
    },
    Cart {
        id: CartId,
        #[serde(flatten)]
        body: CartCommand,
    },
    Order {
        id: OrderId,
        #[serde(flatten)]
        body: OrderCommand,
    },
    Payment {
        id: PaymentId,
        #[serde(flatten)]
        body: PaymentCommand,
    },
    Customer {
        id: CustomerId,
        #[serde(flatten)]
        body: CustomerCommand,
    },
    Shipment {
        id: ShipmentId,
        #[serde(flatten)]
        body: ShipmentCommand,
    },
}

impl Command {
    /// The stream that this command is for.
    pub fn stream(&self) -> StreamId {
        match self {
            Self::Product { id, .. } => StreamId::product(id),
            Self::Stock { id, .. } => StreamId::stock(id),
            Self::Cart { id, .. } => id.into(),
            Self::Order { id, .. } => id.into(),
            Self::Payment { id, .. } => id.into(),
            Self::Customer { id, .. } => id.into(),
            Self::Shipment { id, .. } => id.into(),
        }
    }

    /// Hash of stream and body: two commands with one id and different hashes are two different wishes.
    pub fn hash(&self) -> CommandHash {
        CommandHash::of(self)
    }
}

/// The first 128 bits of SHA-256 over a command's stream and body, written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CommandHash([u8; 16]);

impl CommandHash {
    /// Hash of a command, or of the request that one is made from: of its JSON, whose maps have to be ordered.
    pub fn of(wish: &impl Serialize) -> Self {
        struct Hashing(Sha256);
        impl std::io::Write for Hashing {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.update(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut hashing = Hashing(Sha256::new());
        serde_json::to_writer(&mut hashing, wish)
            .expect("commands and requests are made of strings, numbers, lists and maps");
        let digest = hashing.0.finalize();
        let mut short = [0; 16];
        short.copy_from_slice(&digest[..16]);
        Self(short)
    }

    /// Wraps the bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for CommandHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CommandHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for CommandHash {
    type Err = String;
    /// Reads 32 hex digits.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = (text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()))
            .then(|| u128::from_str_radix(text, 16).ok())
            .flatten()
            .ok_or_else(|| format!("{text:?} is not 32 hex digits"))?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// A command with who wants it and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandEnvelope {
    /// Names the wish; repeating it under the same id is safe.
    pub command_id: CommandId,
    /// Everything that one request sets off shares this.
    pub correlation_id: CorrelationId,
    /// The event that caused it, where a process manager sends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<EventId>,
    /// Who sends it.
    pub principal: Principal,
    /// What the sender believes of the stream.
    #[serde(default)]
    pub expected_version: ExpectedVersion,
    /// When the thing happened; none: at the time of decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
    /// W3C trace context of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Hash of the request that the command was made from, where making it looked facts up (prices, stock levels): the
    /// same request is the same wish, although those facts have moved on. None: the command says it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_hash: Option<CommandHash>,
    /// The wish.
    pub command: Command,
}

impl CommandEnvelope {
    /// An envelope of a new request: its own correlation, no cause, no belief about the version.
    pub fn new(command_id: CommandId, principal: Principal, command: Command) -> Self {
        Self {
            command_id,
            correlation_id: command_id.into(),
            causation_id: None,
            principal,
            expected_version: ExpectedVersion::Any,
            occurred_at: None,
            traceparent: None,
            request_hash: None,
            command,
        }
    }

    /// What tells two wishes under one command id apart, and what `ce_commandhash` says.
    pub fn hash(&self) -> CommandHash {
        self.request_hash.unwrap_or_else(|| self.command.hash())
    }

    /// The envelope of `step`, a command that follows from `cause`: deterministic id, same correlation and trace.
    pub fn following(
        cause: &crate::RecordedEvent,
        step: &str,
        principal: Principal,
        command: Command,
    ) -> Self {
        let event_id = cause.metadata.event_id();
        Self {
            command_id: CommandId::from_event(&event_id, step),
            correlation_id: cause.metadata.correlation_id,
            causation_id: Some(event_id),
            principal,
            expected_version: ExpectedVersion::Any,
            occurred_at: cause.follow_up_time(),
            traceparent: cause.metadata.traceparent.clone(),
            request_hash: None,
            command,
        }
    }
}
