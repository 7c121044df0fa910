//! The sandbox: a payment provider and a carrier that behave, or misbehave, as they are told.
//!
//! | payment method | what the provider does |
//! |---|---|
//! | `sandbox`, and every other one without a colon behind `sandbox` | approves everything |
//! | `sandbox:decline` | declines the authorisation |
//! | `sandbox:timeout` | does the work, and lets the first calls for it (the asking ones too) time out |
//! | `sandbox:timeout-before` | lets the first calls time out without having received them |
//! | `sandbox:late` | takes its time; until then the result is pending |
//! | `sandbox:twice` | replies, and sends the result as a notification as well |
//! | `sandbox:reorder` | replies that the result is pending; notifications come together, the last first, the old ones once more behind them |
//! | `sandbox:decline-capture` | declines captures |
//! | `sandbox:fail-refund-once` | declines the first refund of a payment |
//!
//! | carrier, or a word in the address | what the carrier does |
//! |---|---|
//! | `sandbox` | delivers |
//! | `sandbox:fail` | refuses the booking |
//! | `sandbox:lost` | takes the shipment and loses it |
//!
//! Nothing is stored: **a result is a function of the request**. The authorisation's name carries the amount and the
//! behaviour, the tracking number the behaviour, so that a restarted sandbox goes on where the old one ended and gives
//! the same results under the same keys. What it forgets is its own ledger ([`SandboxProvider::balance`]), what it has
//! already let time out, and which refund was the first. While it runs it forgets what is older than
//! [`SandboxConfig::keys_max`] requests.

mod bounded;
mod carrier;
mod ledger;
mod provider;

pub use carrier::SandboxCarrier;
pub use ledger::ProviderBalance;
pub use provider::{SandboxConfig, SandboxProvider};
