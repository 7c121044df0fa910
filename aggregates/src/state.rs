//! The state of any aggregate: what the host loads, decides on, keeps and writes to its state store.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use schemas::{AggregateType, Command, ErrorCode, Event, Rejection};
use serde::{Deserialize, Serialize};

use crate::{Cart, Customer, DomainError, Order, Payment, Product, Shipment, Stock};

/// Shape of a serialised [`State`]. A stored state of another shape is dropped and refolded.
///
/// To be raised with every change of what a state serialises to; a test with pinned bytes fails when it is forgotten.
pub const STATE_SHAPE: u32 = 1;

/// An event of one aggregate was applied to the state of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of {event} cannot be applied to the state of {state}")]
pub struct ForeignEvent {
    /// Whose state it is.
    pub state: AggregateType,
    /// Whose event it is.
    pub event: AggregateType,
}

/// The state of one aggregate instance. Cloning is cheap: what can grow is shared, not copied.
///
/// Serialises without self-describing tags, so that postcard can read it back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each variant is the aggregate of its name")]
pub enum State {
    Product(Product),
    Stock(Stock),
    Cart(Cart),
    Order(Order),
    Payment(Payment),
    Customer(Customer),
    Shipment(Shipment),
}

impl State {
    /// The state before the first event.
    pub fn new(aggregate_type: AggregateType) -> Self {
        match aggregate_type {
            AggregateType::Product => Self::Product(Product::default()),
            AggregateType::Stock => Self::Stock(Stock::default()),
            AggregateType::Cart => Self::Cart(Cart::default()),
            AggregateType::Order => Self::Order(Order::default()),
            AggregateType::Payment => Self::Payment(Payment::default()),
            AggregateType::Customer => Self::Customer(Customer::default()),
            AggregateType::Shipment => Self::Shipment(Shipment::default()),
        }
    }

    /// Which aggregate this is the state of.
    pub fn aggregate_type(&self) -> AggregateType {
        match self {
            Self::Product(_) => AggregateType::Product,
            Self::Stock(_) => AggregateType::Stock,
            Self::Cart(_) => AggregateType::Cart,
            Self::Order(_) => AggregateType::Order,
            Self::Payment(_) => AggregateType::Payment,
            Self::Customer(_) => AggregateType::Customer,
            Self::Shipment(_) => AggregateType::Shipment,
        }
    }

    /// Folds one event in. Fails only for an event of another aggregate, and then changes nothing.
    pub fn apply(&mut self, event: &Event) -> Result<(), ForeignEvent> {
        match (&mut *self, event) {
            (Self::Product(state), Event::Product(event)) => state.apply(event.clone()),
            (Self::Stock(state), Event::Stock(event)) => state.apply(event.clone()),
            (Self::Cart(state), Event::Cart(event)) => state.apply(event.clone()),
            (Self::Order(state), Event::Order(event)) => state.apply(event.clone()),
            (Self::Payment(state), Event::Payment(event)) => state.apply(event.clone()),
            (Self::Customer(state), Event::Customer(event)) => state.apply(event.clone()),
            (Self::Shipment(state), Event::Shipment(event)) => state.apply(event.clone()),
            _ => {
                return Err(ForeignEvent { state: self.aggregate_type(), event: event.aggregate_type() });
            }
        }
        Ok(())
    }

    /// Decides a command: the events it leads to, already applied to this state, or the rule that refuses it, and
    /// then the state is as before. No events: the state already says what the command wants.
    ///
    /// To be called on a plain thread: inside a task of an async runtime the event sink's lock counts against the
    /// task's cooperative budget, and a command of very many events would find it spent.
    pub fn decide(&mut self, command: &Command) -> Result<Vec<Event>, Rejection> {
        match (&mut *self, command) {
            (Self::Product(state), Command::Product { id, body }) => {
                decide(state, (id.clone(), body.clone()))
            }
            (Self::Stock(state), Command::Stock { id, body }) => decide(state, (id.clone(), body.clone())),
            (Self::Cart(state), Command::Cart { id, body }) => decide(state, (id.clone(), body.clone())),
            (Self::Order(state), Command::Order { id, body }) => decide(state, (id.clone(), body.clone())),
            (Self::Payment(state), Command::Payment { id, body }) => {
                decide(state, (id.clone(), body.clone()))
            }
            (Self::Customer(state), Command::Customer { id, body }) => {
                decide(state, (id.clone(), body.clone()))
            }
            (Self::Shipment(state), Command::Shipment { id, body }) => {
                decide(state, (id.clone(), body.clone()))
            }
            _ => Err(Rejection::new(
                ErrorCode::Internal,
                format!("a command for {} met the state of {}", command.stream(), self.aggregate_type()),
            )),
        }
    }
}

macro_rules! as_aggregate {
    ($($method:ident $aggregate:ident),+ $(,)?) => {
        impl State {
            $(
                #[doc = concat!("The ", stringify!($aggregate), ", if it is one.")]
                pub fn $method(&self) -> Option<&$aggregate> {
                    match self {
                        Self::$aggregate(state) => Some(state),
                        _ => None,
                    }
                }
            )+
        }
    };
}
as_aggregate!(
    as_product Product,
    as_stock Stock,
    as_cart Cart,
    as_order Order,
    as_payment Payment,
    as_customer Customer,
    as_shipment Shipment,
);

fn decide<A>(state: &mut A, command: A::Command) -> Result<Vec<Event>, Rejection>
where
    A: Aggregate<Services = ()>,
    A::Error: DomainError,
    Event: From<A::Event>,
{
    let sink = EventSink::default();
    let decision = ready(state.handle(command, &(), &sink));
    let events = ready(sink.collect());
    match decision {
        Ok(()) => Ok(events.into_iter().map(Event::from).collect()),
        Err(error) => {
            // Every aggregate finishes its guards before its first event, so there is nothing to take back.
            debug_assert!(events.is_empty(), "{} wrote events and then refused", A::TYPE);
            Err(error.rejection())
        }
    }
}

/// The result of a future that awaits nothing real.
fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!(
            "an aggregate awaits only the lock of a sink that nobody else holds, which is free outside of async tasks"
        ),
    }
}
