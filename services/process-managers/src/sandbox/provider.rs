//! The sandbox payment provider.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use schemas::{EventId, PaymentId};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::bounded::Bounded;
use super::ledger::{Ledger, ProviderBalance, behaviour};
use crate::payment_provider::{
    Found, PaymentNotification, PaymentProvider, PaymentRequest, PaymentResult, PortError, Reply,
};

/// How badly the sandbox behaves when it is told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SandboxConfig {
    /// How many calls per key time out. Default 2.
    pub timeouts: u32,
    /// How late `sandbox:late` is, milliseconds. Default 1,500.
    pub late_ms: u64,
    /// How long `sandbox:reorder` holds notifications, milliseconds. Default 300.
    pub reorder_hold_ms: u64,
    /// Most requests, and most payments, that are remembered. Default 100,000.
    pub keys_max: usize,
    /// Most notifications that wait to be taken; the oldest is dropped beyond, as webhooks are. Default 10,000.
    pub notifications_max: usize,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            timeouts: 2,
            late_ms: 1_500,
            reorder_hold_ms: 300,
            keys_max: 100_000,
            notifications_max: 10_000,
        }
    }
}

/// The behaviours; see [`sandbox`](crate::SandboxProvider).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    Approve,
    Decline,
    Timeout,
    TimeoutBefore,
    Late,
    Twice,
    Reorder,
    DeclineCapture,
    FailRefundOnce,
}

impl Behaviour {
    const ALL: [Self; 9] = [
        Self::Approve,
        Self::Decline,
        Self::Timeout,
        Self::TimeoutBefore,
        Self::Late,
        Self::Twice,
        Self::Reorder,
        Self::DeclineCapture,
        Self::FailRefundOnce,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Decline => "decline",
            Self::Timeout => "timeout",
            Self::TimeoutBefore => "timeout-before",
            Self::Late => "late",
            Self::Twice => "twice",
            Self::Reorder => "reorder",
            Self::DeclineCapture => "decline-capture",
            Self::FailRefundOnce => "fail-refund-once",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|behaviour| behaviour.name() == name)
    }
}

/// A payment provider in memory that can be told to misbehave by the payment method: `sandbox` approves,
/// `sandbox:decline`, `sandbox:timeout`, `sandbox:timeout-before`, `sandbox:late`, `sandbox:twice`, `sandbox:reorder`,
/// `sandbox:decline-capture` and `sandbox:fail-refund-once` do what they say. Every other method is approved.
///
/// Results are a function of the request, so that a restarted sandbox gives the same ones under the same keys.
pub struct SandboxProvider {
    config: SandboxConfig,
    state: Mutex<State>,
    notified: Notify,
}

struct State {
    ledger: Ledger,
    /// Calls per key that have timed out.
    timeouts: Bounded<EventId, u32>,
    /// Keys whose result is pending until then.
    pending: Bounded<EventId, Instant>,
    /// Notifications held by payment: until when, and in which order they came. None is held for long.
    held: HashMap<PaymentId, (Instant, Vec<PaymentNotification>)>,
    /// The first notification of each payment that was held: it comes again behind newer ones.
    first: Bounded<PaymentId, PaymentNotification>,
    outgoing: VecDeque<PaymentNotification>,
}

impl SandboxProvider {
    /// A provider without books.
    pub fn new(config: SandboxConfig) -> Self {
        let state = State {
            ledger: Ledger::new(config.keys_max),
            timeouts: Bounded::new(config.keys_max),
            pending: Bounded::new(config.keys_max),
            held: HashMap::new(),
            first: Bounded::new(config.keys_max),
            outgoing: VecDeque::new(),
        };
        Self { config, state: Mutex::new(state), notified: Notify::new() }
    }

    /// The provider's own sums of a payment: what was done here since this sandbox began.
    pub fn balance(&self, payment_id: &PaymentId) -> ProviderBalance {
        self.lock().ledger.balance(payment_id)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is changed in steps that don't panic in between.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call that may time out.
    fn times_out(&self, state: &mut State, key: &EventId) -> Result<(), PortError> {
        let calls = state.timeouts.entry(key, || 0);
        if *calls >= self.config.timeouts {
            return Ok(());
        }
        *calls += 1;
        Err(PortError::Unknown { reason: "the sandbox was told to time out".to_owned() })
    }

    fn hold(&self, state: &mut State, notification: PaymentNotification) {
        let until = Instant::now() + Duration::from_millis(self.config.reorder_hold_ms);
        state.pending.insert(notification.request.key.clone(), until);
        let payment_id = notification.request.payment_id.clone();
        let (_, held) = state.held.entry(payment_id).or_insert_with(|| (until, Vec::new()));
        held.push(notification);
        self.notified.notify_one();
    }

    /// Sends what was held long enough: the last first, and the payment's first one once more behind them.
    fn release(&self, state: &mut State, now: Instant) {
        let over: Vec<_> = state
            .held
            .iter()
            .filter(|(_, (until, _))| *until <= now)
            .map(|(payment, _)| payment.clone())
            .collect();
        for payment_id in over {
            let Some((_, held)) = state.held.remove(&payment_id) else { continue };
            let Some(oldest) = held.first().cloned() else { continue };
            let first = state.first.entry(&payment_id, || oldest).clone();
            held.into_iter().rev().chain([first]).for_each(|notification| self.send(state, notification));
        }
    }

    fn send(&self, state: &mut State, notification: PaymentNotification) {
        if state.outgoing.len() >= self.config.notifications_max {
            state.outgoing.pop_front();
        }
        state.outgoing.push_back(notification);
        self.notified.notify_one();
    }
}

#[async_trait]
impl PaymentProvider for SandboxProvider {
    async fn perform(&self, request: &PaymentRequest) -> Result<Reply<PaymentResult>, PortError> {
        let behaviour = behaviour(request).unwrap_or(Behaviour::Approve);
        let late = Instant::now() + Duration::from_millis(self.config.late_ms);
        {
            let mut state = self.lock();
            if behaviour == Behaviour::TimeoutBefore {
                self.times_out(&mut state, &request.key)?;
            }
            let is_new = state.ledger.result(&request.key).is_none();
            let result = state.ledger.perform(request)?;
            let notification = || PaymentNotification { request: request.clone(), result: result.clone() };
            match behaviour {
                Behaviour::Timeout => self.times_out(&mut state, &request.key)?,
                Behaviour::Late => {
                    state.pending.entry(&request.key, || late);
                }
                Behaviour::Twice => self.send(&mut state, notification()),
                Behaviour::Reorder => {
                    if is_new {
                        self.hold(&mut state, notification());
                    }
                    return Ok(Reply::Pending);
                }
                _ => {}
            }
            if behaviour != Behaviour::Late {
                return Ok(Reply::Final(result));
            }
        }
        let ready = self.lock().pending.get(&request.key).copied().unwrap_or(late);
        tokio::time::sleep_until(ready).await;
        let result = self.lock().ledger.perform(request)?;
        Ok(Reply::Final(result))
    }

    async fn query(&self, request: &PaymentRequest) -> Result<Found<PaymentResult>, PortError> {
        let mut state = self.lock();
        let Some(result) = state.ledger.result(&request.key) else { return Ok(Found::NotFound) };
        if behaviour(request) == Some(Behaviour::Timeout) {
            self.times_out(&mut state, &request.key)?;
        }
        match state.pending.get(&request.key) {
            Some(until) if *until > Instant::now() => Ok(Found::Pending),
            _ => Ok(Found::Known(result)),
        }
    }

    async fn next_notification(&self) -> PaymentNotification {
        loop {
            let next_release = {
                let mut state = self.lock();
                self.release(&mut state, Instant::now());
                if let Some(notification) = state.outgoing.pop_front() {
                    return notification;
                }
                state.held.values().map(|(until, _)| *until).min()
            };
            let released = async {
                match next_release {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.notified.notified() => {}
                () = released => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::{CorrelationId, Currency, Money};

    use super::*;
    use crate::payment_provider::PaymentOperation;

    fn request(key: &str, operation: PaymentOperation) -> PaymentRequest {
        PaymentRequest {
            key: EventId::from_text(key),
            correlation_id: CorrelationId::new(uuid::Uuid::from_u128(1)),
            occurred_at: None,
            payment_id: PaymentId::new("1001").unwrap(),
            operation,
        }
    }

    fn pounds(amount: i64) -> Money {
        Money::new(amount, Currency::GBP)
    }

    fn authorise(method: &str) -> PaymentRequest {
        request("a", PaymentOperation::Authorise { amount: pounds(1_000), method: method.to_owned() })
    }

    fn capture(key: &str, amount: i64, authorisation: &str) -> PaymentRequest {
        let (reference, authorisation) = ("1001/1".parse().unwrap(), authorisation.to_owned());
        request(key, PaymentOperation::Capture { reference, amount: pounds(amount), authorisation })
    }

    fn void(key: &str, amount: i64, authorisation: &str) -> PaymentRequest {
        request(
            key,
            PaymentOperation::Void { amount: pounds(amount), authorisation: authorisation.to_owned() },
        )
    }

    fn refund(key: &str, amount: i64, authorisation: &str) -> PaymentRequest {
        let (reference, authorisation) = ("C1/1".parse().unwrap(), authorisation.to_owned());
        request(key, PaymentOperation::Refund { reference, amount: pounds(amount), authorisation })
    }

    fn sandbox() -> SandboxProvider {
        SandboxProvider::new(SandboxConfig { reorder_hold_ms: 10, ..SandboxConfig::default() })
    }

    async fn done(sandbox: &SandboxProvider, request: &PaymentRequest) -> String {
        match sandbox.perform(request).await {
            Ok(Reply::Final(PaymentResult::Done { provider_reference })) => provider_reference,
            other => panic!("{other:?}"),
        }
    }

    async fn declined(sandbox: &SandboxProvider, request: &PaymentRequest) -> String {
        match sandbox.perform(request).await {
            Ok(Reply::Final(PaymentResult::Declined { code, .. })) => code,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn the_books_count_every_key_once_and_never_exceed_the_authorisation() {
        let sandbox = sandbox();
        let authorisation = done(&sandbox, &authorise("sandbox")).await;
        for _ in 0..3 {
            done(&sandbox, &capture("b", 600, &authorisation)).await;
            done(&sandbox, &void("c", 400, &authorisation)).await;
            done(&sandbox, &refund("d", 200, &authorisation)).await;
        }
        let expected = ProviderBalance { authorised: 1_000, captured: 600, voided: 400, refunded: 200 };
        let payment = PaymentId::new("1001").unwrap();
        assert_eq!(sandbox.balance(&payment), expected);
        assert_eq!(declined(&sandbox, &capture("e", 1, &authorisation)).await, "exceeds_authorisation");
        assert_eq!(declined(&sandbox, &void("f", 1, &authorisation)).await, "exceeds_authorisation");
        assert_eq!(declined(&sandbox, &refund("g", 401, &authorisation)).await, "exceeds_capture");
        assert_eq!(sandbox.balance(&payment), expected);
    }

    #[tokio::test]
    async fn a_key_stands_for_one_request() {
        let sandbox = sandbox();
        let authorisation = done(&sandbox, &authorise("sandbox")).await;
        done(&sandbox, &capture("b", 600, &authorisation)).await;
        let other = sandbox.perform(&capture("b", 601, &authorisation)).await;
        assert_eq!(other, Err(PortError::KeyReused { key: EventId::from_text("b") }));
    }

    #[tokio::test]
    async fn a_restarted_sandbox_gives_the_same_results_under_the_same_keys() {
        let (old, new) = (sandbox(), sandbox());
        let authorisation = done(&old, &authorise("sandbox:decline-capture")).await;
        assert_eq!(done(&new, &authorise("sandbox:decline-capture")).await, authorisation);
        let newest = sandbox();
        assert_eq!(newest.query(&authorise("sandbox:decline-capture")).await, Ok(Found::NotFound));
        // It has never seen the authorisation, and knows its behaviour and amount.
        assert_eq!(declined(&newest, &capture("b", 600, &authorisation)).await, "capture_declined");
        assert_eq!(
            done(&newest, &void("c", 1_000, &authorisation)).await,
            done(&old, &void("c", 1_000, &authorisation)).await
        );
        assert_eq!(declined(&newest, &void("d", 1, &authorisation)).await, "exceeds_authorisation");
    }

    #[tokio::test]
    async fn it_declines_what_it_is_told_to_decline() {
        assert_eq!(declined(&sandbox(), &authorise("sandbox:decline")).await, "card_declined");
        assert_eq!(declined(&sandbox(), &authorise("sandbox:nonsense")).await, "unknown_behaviour");
        let sandbox = sandbox();
        let authorisation = done(&sandbox, &authorise("sandbox:fail-refund-once")).await;
        done(&sandbox, &capture("b", 1_000, &authorisation)).await;
        for _ in 0..2 {
            assert_eq!(declined(&sandbox, &refund("c", 100, &authorisation)).await, "refund_failed");
        }
        done(&sandbox, &refund("d", 100, &authorisation)).await;
    }

    #[tokio::test]
    async fn reordered_notifications_come_last_first_and_the_oldest_once_more() {
        let sandbox = sandbox();
        assert_eq!(sandbox.perform(&authorise("sandbox:reorder")).await, Ok(Reply::Pending));
        assert_eq!(sandbox.query(&authorise("sandbox:reorder")).await, Ok(Found::Pending));
        let first = sandbox.next_notification().await;
        let PaymentResult::Done { provider_reference: authorisation } = first.result else {
            panic!("declined")
        };
        assert_eq!(
            sandbox.next_notification().await.request.key.as_str(),
            "a",
            "twice: it is the oldest, too"
        );
        for key in ["b", "c"] {
            assert_eq!(sandbox.perform(&capture(key, 100, &authorisation)).await, Ok(Reply::Pending));
        }
        let mut keys = Vec::new();
        for _ in 0..3 {
            keys.push(sandbox.next_notification().await.request.key.to_string());
        }
        assert_eq!(keys, ["c", "b", "a"]);
        let found = sandbox.query(&capture("b", 100, &authorisation)).await;
        assert!(matches!(found, Ok(Found::Known(PaymentResult::Done { .. }))));
    }

    #[tokio::test]
    async fn a_result_that_is_sent_twice_is_the_same_result() {
        let sandbox = sandbox();
        let reference = done(&sandbox, &authorise("sandbox:twice")).await;
        let notification = sandbox.next_notification().await;
        assert_eq!(notification.result, PaymentResult::Done { provider_reference: reference });
    }
}
