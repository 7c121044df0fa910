//! Given commands, when a command, then events, nothing, or a refusal; and the laws that hold for every step.

use std::collections::BTreeSet;
use std::fmt::Debug;

use aggregates::{DomainError, State};
use schemas::{Command, Currency, Event, Money, Quantity, Rejection};

pub(crate) fn gbp(pence: i64) -> Money {
    Money::new(pence, Currency::GBP)
}

pub(crate) fn eur(cents: i64) -> Money {
    Money::new(cents, Currency::EUR)
}

pub(crate) fn units(count: i64) -> Quantity {
    Quantity::new(count).unwrap()
}

/// Reads an id or a reference.
pub(crate) fn id<T: std::str::FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub(crate) fn chars(count: usize) -> String {
    "x".repeat(count)
}

/// Decides, and checks what must hold whatever is decided: a refused command leaves the state as it was, the events
/// folded into the old state make the new one, and a state survives its serialised form.
pub(crate) fn decide(state: &mut State, command: &Command) -> Result<Vec<Event>, Rejection> {
    let before = state.clone();
    let decision = state.decide(command);
    match &decision {
        Err(_) => assert_eq!(*state, before, "refused, and yet changed: {command:?}"),
        Ok(events) => {
            let mut folded = before;
            events.iter().for_each(|event| folded.apply(event).unwrap());
            assert_eq!(*state, folded, "the state is not the fold of its events: {command:?}");
        }
    }
    let bytes = postcard::to_stdvec(&*state).unwrap();
    assert_eq!(postcard::from_bytes::<State>(&bytes).unwrap(), *state, "the state does not survive postcard");
    decision
}

/// A state that comes about by commands, each of which has to be accepted.
pub(crate) struct Given(Vec<Command>);

pub(crate) fn given(commands: impl Into<Vec<Command>>) -> Given {
    Given(commands.into())
}

impl Given {
    #[track_caller]
    pub(crate) fn when(self, command: &Command) -> Then {
        let mut state = State::new(command.stream().aggregate_type());
        for command in self.0 {
            decide(&mut state, &command).unwrap_or_else(|e| panic!("given {command:?}: {e}"));
        }
        let decision = decide(&mut state, command);
        Then { state, decision }
    }
}

pub(crate) struct Then {
    pub(crate) state: State,
    decision: Result<Vec<Event>, Rejection>,
}

impl Then {
    /// The events, by the middle of their types: `stock.reserved`.
    pub(crate) fn happens(self, expected: &[&str]) -> Happened {
        let events = self.decision.unwrap_or_else(|e| panic!("refused: {e}"));
        let types: Vec<_> = events
            .iter()
            .map(|e| e.ce_type().strip_prefix("millrace.").unwrap().strip_suffix(".v1").unwrap())
            .collect();
        assert_eq!(types, expected);
        Happened { state: self.state, events }
    }

    pub(crate) fn nothing_happens(self) -> State {
        self.happens(&[]).state
    }

    #[track_caller]
    pub(crate) fn refused_by(self, expected: &impl DomainError) {
        assert_eq!(self.decision, Err(expected.rejection()));
    }
}

pub(crate) struct Happened {
    pub(crate) state: State,
    pub(crate) events: Vec<Event>,
}

/// One way to be refused: what went before, the command, the rule with its facts.
pub(crate) type Refusal<E> = (Vec<Command>, Command, E);

/// Every refusal comes about as said, and together they reach every variant of the aggregate's error.
pub(crate) fn every_rule_refuses<E: DomainError>(refusals: Vec<Refusal<E>>) {
    let mut reached = BTreeSet::new();
    for (before, command, error) in refusals {
        given(before).when(&command).refused_by(&error);
        assert_eq!(error.rejection().code, error.code());
        assert_eq!(error.retry(), error.code().retry());
        reached.insert(error.name());
    }
    let missing: Vec<_> = E::NAMES.iter().filter(|name| !reached.contains(*name)).collect();
    assert!(missing.is_empty(), "no test reaches {missing:?}");
}
