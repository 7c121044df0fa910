//! Process managers: what has to happen next when something has happened.
//!
//! A [`ProcessManager`] is a pure function of an event and of the answers to what it asked for: [`Checkout`] takes an
//! order from placed to delivered or back to nothing, [`Returns`] gives stock and money back. [`ProcessManagers`] runs
//! them over a durable subscription of the log, submits what they ask for through [`command_client::Commands`] and
//! moves its checkpoint only over events whose answers are all in. Every command has an id derived from its event and
//! step, so that delivering an event again changes nothing. Their state lives in the aggregates, not here.
//!
//! Calls to the outside are effects behind the ports [`PaymentProvider`] and [`Carrier`]: an unknown result is asked
//! for, never repeated blindly, and comes back as a command. [`SandboxProvider`] and [`SandboxCarrier`] stand in for
//! the real ones and misbehave on request. Deadlines and results that take long live in a table folded from events
//! (`matters`), which can be deleted at any time.
//!
//! This crate decides nothing about orders, stock or money: aggregates may refuse whatever is asked of them, and each
//! refusal has a way on.

mod carrier;
mod checkout;
mod clock;
mod config;
mod effect;
mod effects;
mod error;
mod handler;
mod lanes;
mod matter_table;
mod matters;
mod metrics;
mod names;
mod payment_provider;
mod process_manager;
mod progress;
mod returns;
mod runner;
mod sandbox;
mod service;
mod step;
mod stored_event;
mod timers;

pub use carrier::{BookingRequest, BookingResult, Carrier, Tracking, TrackingRequest};
pub use checkout::Checkout;
pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{EffectLimits, ProcessManagersConfig, TimerLimits};
pub use effect::{Effect, EffectResult};
pub use error::Error;
pub use names::{capture_reference, shipment_id};
pub use payment_provider::{
    Found, PaymentNotification, PaymentOperation, PaymentProvider, PaymentRequest, PaymentResult, PortError,
    Reply,
};
pub use process_manager::ProcessManager;
pub use returns::Returns;
pub use sandbox::{ProviderBalance, SandboxCarrier, SandboxConfig, SandboxProvider};
pub use service::{ProcessManagers, ProcessManagersHandle, Providers};
pub use step::{Action, Answer, Answers, Step};
