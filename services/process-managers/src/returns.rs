//! Returns: goods that came back go into the stock, their money to the buyer.

use schemas::order::{LineKind, OrderEvent, OrderLineReturned};
use schemas::payment::{PaymentCommand, RequestRefund};
use schemas::stock::{ReturnStock, StockCommand};
use schemas::{AggregateType, Command, ErrorCode, Event, OrderId, RecordedEvent, Rejection};

use crate::{Answers, ProcessManager, Step};

/// Gives stock and money of returned lines back; see the module.
///
/// A refund may be asked for before the capture has been recorded: the payment then refuses it, and the timers ask
/// again (under another step, bound to the same reference) until it is not too early any more.
#[derive(Clone, Copy, Debug, Default)]
pub struct Returns;

impl ProcessManager for Returns {
    fn name(&self) -> &'static str {
        "returns"
    }

    fn aggregates(&self) -> &'static [AggregateType] {
        &[AggregateType::Order]
    }

    fn key(&self, event: &RecordedEvent) -> Option<OrderId> {
        line_returned(event).map(|event| event.order_id.clone())
    }

    fn react(&self, event: &RecordedEvent) -> Vec<Step> {
        let Some(event) = line_returned(event) else { return Vec::new() };
        let mut steps = Vec::new();
        if event.kind == LineKind::Goods {
            let body = StockCommand::Return(ReturnStock {
                order_id: event.order_id.clone(),
                line: event.line,
                quantity: event.quantity,
                reference: event.reference.clone(),
                restock: event.restock,
            });
            steps.push(Step::command("return", Command::Stock { id: event.sku.clone(), body }));
        }
        steps.extend(refund(event, 1));
        steps
    }

    fn conclude(&self, _: &RecordedEvent, _: &Answers) -> Vec<Step> {
        Vec::new()
    }

    fn alarm(&self, _: &RecordedEvent, answers: &Answers) -> Option<String> {
        answers.iter().find_map(|(step, _)| {
            let rejection = answers.rejection(step)?;
            (!is_too_early(rejection)).then(|| format!("step {step} was refused: {rejection}"))
        })
    }
}

/// The event that returns are about.
pub(crate) fn line_returned(event: &RecordedEvent) -> Option<&OrderLineReturned> {
    match &event.event {
        Event::Order(OrderEvent::LineReturned(event)) => Some(event),
        _ => None,
    }
}

/// The refund of a return, asked for the n-th time; none where nothing is to be refunded.
pub(crate) fn refund(event: &OrderLineReturned, attempt: u32) -> Option<Step> {
    let body = PaymentCommand::RequestRefund(RequestRefund {
        reference: event.reference.clone(),
        amount: event.refund,
        reason: event.reason.clone(),
    });
    let name = if attempt <= 1 { "refund".to_owned() } else { format!("refund/{attempt}") };
    (event.refund.amount_minor > 0)
        .then(|| Step::command(name, Command::Payment { id: event.order_id.payment_id(), body }))
}

/// Whether a refund was refused because the money has not been captured yet.
pub(crate) fn is_too_early(rejection: &Rejection) -> bool {
    rejection.code == ErrorCode::RefundExceedsCaptured
}

#[cfg(test)]
mod tests {
    use schemas::{
        CommandHash, CommandId, CorrelationId, Currency, EventMetadata, Money, Outcome, Position, Principal,
        Quantity, Sku, StreamId, Timestamp, Version,
    };

    use super::*;
    use crate::Answer;

    fn returned(kind: LineKind, refund: i64) -> RecordedEvent {
        let order_id = OrderId::new("1001").unwrap();
        RecordedEvent {
            position: Position { topic: "m.order.events".into(), partition: 0, offset: 3 },
            metadata: EventMetadata {
                stream: StreamId::from(&order_id),
                version: Version::new(6),
                occurred_at: Timestamp::from_millis(0),
                recorded_at: Timestamp::from_millis(0),
                command_id: CommandId::new(uuid::Uuid::from_u128(1)),
                command_hash: CommandHash::from_bytes([0; 16]),
                correlation_id: CorrelationId::new(uuid::Uuid::from_u128(1)),
                causation_id: None,
                principal: Principal::anonymous(),
                writer_term: 1,
                traceparent: None,
            },
            event: OrderLineReturned {
                order_id,
                customer_id: None,
                reference: "C1/1".parse().unwrap(),
                line: 2,
                sku: Sku::new("A").unwrap(),
                kind,
                quantity: Quantity::new(4).unwrap(),
                refund: Money::new(refund, Currency::GBP),
                restock: false,
                reason: "broken".into(),
            }
            .into(),
        }
    }

    fn names(event: &RecordedEvent) -> Vec<String> {
        Returns.react(event).into_iter().map(|step| step.name).collect()
    }

    #[test]
    fn goods_go_back_and_so_does_their_money() {
        assert_eq!(names(&returned(LineKind::Goods, 300)), ["return", "refund"]);
        assert_eq!(names(&returned(LineKind::Goods, 0)), ["return"]);
        assert_eq!(names(&returned(LineKind::Service, 300)), ["refund"]);
        assert_eq!(names(&returned(LineKind::Service, 0)), [""; 0]);
    }

    #[test]
    fn a_refund_that_is_too_early_is_no_alarm_and_every_other_refusal_is() {
        let event = returned(LineKind::Goods, 300);
        let alarm = |code| {
            let mut answers = Answers::new();
            answers.insert("refund", Answer::Outcome(Outcome::Rejected(Rejection::new(code, "no"))));
            Returns.alarm(&event, &answers)
        };
        assert_eq!(alarm(ErrorCode::RefundExceedsCaptured), None);
        assert!(alarm(ErrorCode::PaymentNotFound).is_some());
    }

    #[test]
    fn every_attempt_is_a_command_of_its_own_for_the_same_refund() {
        let event = returned(LineKind::Goods, 300);
        let (first, second) = (line_returned(&event).unwrap(), line_returned(&event).unwrap());
        let (first, second) = (refund(first, 1).unwrap(), refund(second, 2).unwrap());
        assert_ne!(first.name, second.name);
        assert_eq!(first.action, second.action);
    }
}
