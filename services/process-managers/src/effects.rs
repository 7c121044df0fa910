//! Calls to the outside until there is a result: an unknown one is asked for, only what never arrived is sent again.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use service_kit::Stop;

use crate::carrier::{BookingResult, Carrier};
use crate::payment_provider::{Found, PaymentProvider, PaymentResult, PortError, Reply};
use crate::{Effect, EffectLimits, EffectResult, metrics};

/// The code of a request whose key stands for another one: a fault of ours, which the provider refuses.
const KEY_REUSED: &str = "idempotency_key_reused";

/// Whether a call was given up because the process stops. What it was about comes again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

/// How a request begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// By sending it. Safe also for one that was sent before: the key is the same.
    Sending,
    /// By asking, for it was sent before.
    Asking,
}

/// Who is called, and how patiently.
pub(crate) struct Effects {
    pub(crate) payments: Arc<dyn PaymentProvider>,
    pub(crate) carrier: Arc<dyn Carrier>,
    pub(crate) limits: EffectLimits,
    pub(crate) stop: Stop,
}

impl Effects {
    pub(crate) async fn perform(&self, effect: &Effect, begin: Begin) -> Result<EffectResult, Stopped> {
        let name = effect.name();
        match effect {
            Effect::Payment(request) => {
                let send = || self.payments.perform(request);
                let ask = || self.payments.query(request);
                let refused = |message| PaymentResult::Declined { code: KEY_REUSED.to_owned(), message };
                let result = self.settle(name, begin, send, ask, refused).await?;
                Ok(result.map_or(EffectResult::Pending, EffectResult::Payment))
            }
            Effect::Book(request) => {
                let send = || self.carrier.book(request);
                let ask = || self.carrier.query(request);
                let refused = |reason| BookingResult::Refused { code: KEY_REUSED.to_owned(), reason };
                let result = self.settle(name, begin, send, ask, refused).await?;
                Ok(result.map_or(EffectResult::Pending, EffectResult::Booking))
            }
            // Taking back and looking can be repeated as they are.
            Effect::CancelBooking(request) => {
                self.repeat(name, || self.carrier.cancel(request)).await?;
                Ok(EffectResult::BookingCancelled)
            }
            Effect::Track(request) => {
                let tracking = self.repeat(name, || self.carrier.track(request)).await?;
                // A parcel that the carrier cannot look for is on its way as far as we know.
                Ok(EffectResult::Tracking(tracking.unwrap_or(crate::Tracking::InTransit)))
            }
        }
    }

    /// Sends or asks until there is a final word, or the other side says that it takes its time (`None`).
    async fn settle<T, S, A>(
        &self,
        name: &'static str,
        begin: Begin,
        send: impl Fn() -> S,
        ask: impl Fn() -> A,
        refused: impl Fn(String) -> T,
    ) -> Result<Option<T>, Stopped>
    where
        S: Future<Output = Result<Reply<T>, PortError>>,
        A: Future<Output = Result<Found<T>, PortError>>,
    {
        let mut begin = begin;
        let mut failures = 0;
        loop {
            let error = match begin {
                Begin::Sending => match self.bounded(send()).await? {
                    Ok(Reply::Final(result)) => return Ok(Some(result)),
                    Ok(Reply::Pending) => return Ok(None),
                    Err(error) => error,
                },
                Begin::Asking => match self.bounded(ask()).await? {
                    Ok(Found::Known(result)) => return Ok(Some(result)),
                    Ok(Found::Pending) => return Ok(None),
                    Ok(Found::NotFound) => {
                        begin = Begin::Sending;
                        continue;
                    }
                    Err(error) => error,
                },
            };
            match error {
                PortError::KeyReused { .. } => {
                    tracing::error!(effect = name, %error, "a provider knows the key for something else");
                    return Ok(Some(refused(error.to_string())));
                }
                PortError::Unknown { .. } => begin = Begin::Asking,
                PortError::NotSent { .. } => {}
            }
            self.back_off(name, &mut failures, &error).await?;
        }
    }

    /// Calls until there is an answer; `None` where the other side refuses for ever.
    async fn repeat<T, C>(&self, name: &'static str, call: impl Fn() -> C) -> Result<Option<T>, Stopped>
    where
        C: Future<Output = Result<T, PortError>>,
    {
        let mut failures = 0;
        loop {
            match self.bounded(call()).await? {
                Ok(answer) => return Ok(Some(answer)),
                Err(error @ PortError::KeyReused { .. }) => {
                    tracing::error!(effect = name, %error, "a provider knows the key for something else");
                    return Ok(None);
                }
                Err(error) => self.back_off(name, &mut failures, &error).await?,
            }
        }
    }

    /// One call: no answer in time is an unknown one.
    async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T, PortError>>,
    ) -> Result<Result<T, PortError>, Stopped> {
        let limit_ms = self.limits.call_ms_max;
        tokio::select! {
            answer = tokio::time::timeout(Duration::from_millis(limit_ms), call) => Ok(answer.unwrap_or_else(|_| {
                Err(PortError::Unknown { reason: format!("no answer within {limit_ms} ms") })
            })),
            () = self.stop.requested() => Err(Stopped),
        }
    }

    async fn back_off(
        &self,
        name: &'static str,
        failures: &mut u32,
        error: &PortError,
    ) -> Result<(), Stopped> {
        ::metrics::counter!(metrics::CALLS_FAILED, "effect" => name).increment(1);
        *failures += 1;
        if *failures >= self.limits.calls_before_warning {
            tracing::warn!(effect = name, failures = *failures, %error, "no result from outside yet");
        } else {
            tracing::debug!(effect = name, failures = *failures, %error, "no result from outside yet");
        }
        let doubled = self.limits.backoff_first_ms.saturating_mul(1 << (*failures - 1).min(20));
        let wait = Duration::from_millis(doubled.min(self.limits.backoff_max_ms));
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = self.stop.requested() => Err(Stopped),
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::{CorrelationId, Currency, EventId, Money, PaymentId};

    use super::*;
    use crate::{
        PaymentOperation, PaymentRequest, ProviderBalance, SandboxCarrier, SandboxConfig, SandboxProvider,
    };

    fn payment() -> PaymentId {
        PaymentId::new("1001").unwrap()
    }

    fn request(key: &str, operation: PaymentOperation) -> PaymentRequest {
        PaymentRequest {
            key: EventId::from_text(key),
            correlation_id: CorrelationId::new(uuid::Uuid::from_u128(1)),
            occurred_at: None,
            payment_id: payment(),
            operation,
        }
    }

    fn authorise(method: &str) -> PaymentRequest {
        let amount = Money::new(1_000, Currency::GBP);
        request("payment/1001/1", PaymentOperation::Authorise { amount, method: method.to_owned() })
    }

    fn effects(sandbox: &Arc<SandboxProvider>) -> Effects {
        let limits = EffectLimits {
            call_ms_max: 5_000,
            backoff_first_ms: 1,
            backoff_max_ms: 2,
            ..EffectLimits::default()
        };
        let (payments, carrier) = (Arc::clone(sandbox), Arc::new(SandboxCarrier::new()));
        Effects { payments, carrier, limits, stop: Stop::new() }
    }

    fn sandbox() -> Arc<SandboxProvider> {
        let quick = SandboxConfig { late_ms: 20, reorder_hold_ms: 10, ..SandboxConfig::default() };
        Arc::new(SandboxProvider::new(quick))
    }

    #[tokio::test]
    async fn an_unknown_result_is_asked_for_and_the_work_is_done_once() {
        for method in
            ["sandbox", "card", "sandbox:timeout", "sandbox:timeout-before", "sandbox:late", "sandbox:twice"]
        {
            let sandbox = sandbox();
            let effects = effects(&sandbox);
            let effect = Effect::Payment(authorise(method));
            let first = effects.perform(&effect, Begin::Sending).await.unwrap();
            assert!(
                matches!(first, EffectResult::Payment(PaymentResult::Done { .. })),
                "{method}: {first:?}"
            );
            for begin in [Begin::Sending, Begin::Asking] {
                assert_eq!(effects.perform(&effect, begin).await.unwrap(), first, "{method}");
            }
            let expected = ProviderBalance { authorised: 1_000, ..ProviderBalance::default() };
            assert_eq!(sandbox.balance(&payment()), expected, "{method}");
        }
    }

    #[tokio::test]
    async fn asking_for_what_never_arrived_sends_it() {
        let sandbox = sandbox();
        let effect = Effect::Payment(authorise("sandbox"));
        let result = effects(&sandbox).perform(&effect, Begin::Asking).await.unwrap();
        assert!(matches!(result, EffectResult::Payment(PaymentResult::Done { .. })));
        assert_eq!(sandbox.balance(&payment()).authorised, 1_000);
    }

    #[tokio::test]
    async fn a_call_that_takes_too_long_is_unknown_and_asked_for() {
        let sandbox = sandbox();
        let mut effects = effects(&sandbox);
        effects.limits.call_ms_max = 2;
        let effect = Effect::Payment(authorise("sandbox:late"));
        // The call ended too early to know; asking says that it is taken on.
        assert_eq!(effects.perform(&effect, Begin::Sending).await.unwrap(), EffectResult::Pending);
        assert_eq!(sandbox.balance(&payment()).authorised, 1_000);
    }

    #[tokio::test]
    async fn a_key_of_another_request_is_refused_for_good() {
        let sandbox = sandbox();
        let effects = effects(&sandbox);
        effects.perform(&Effect::Payment(authorise("sandbox")), Begin::Sending).await.unwrap();
        let amount = Money::new(999, Currency::GBP);
        let other =
            request("payment/1001/1", PaymentOperation::Authorise { amount, method: "sandbox".into() });
        let result = effects.perform(&Effect::Payment(other), Begin::Sending).await.unwrap();
        assert!(
            matches!(result, EffectResult::Payment(PaymentResult::Declined { code, .. }) if code == KEY_REUSED)
        );
        assert_eq!(sandbox.balance(&payment()).authorised, 1_000);
    }

    #[tokio::test]
    async fn stopping_ends_the_waiting() {
        let config = SandboxConfig { timeouts: u32::MAX, ..SandboxConfig::default() };
        let sandbox = Arc::new(SandboxProvider::new(config));
        let effects = effects(&sandbox);
        let effect = Effect::Payment(authorise("sandbox:timeout-before"));
        let (result, ()) =
            tokio::join!(effects.perform(&effect, Begin::Sending), async { effects.stop.request() });
        assert_eq!(result, Err(Stopped));
        assert_eq!(sandbox.balance(&payment()).authorised, 0);
    }
}
