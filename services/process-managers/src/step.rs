//! Steps: what a process manager asks for, and what became of it.

use std::collections::BTreeMap;

use schemas::{Command, Outcome, Rejection};

use crate::{Effect, EffectResult};

/// One thing that has to be done because of an event. Its name makes it unique within the event: the same event and
/// step are the same command for ever.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The step's name, for example `reserve/3`.
    pub name: String,
    /// What to do.
    pub action: Action,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Submit a command.
    Command(Box<Command>),
    /// Ask somebody outside.
    Effect(Box<Effect>),
}

impl Step {
    /// A step that submits a command.
    pub fn command(name: impl Into<String>, command: Command) -> Self {
        Self { name: name.into(), action: Action::Command(Box::new(command)) }
    }

    /// A step that asks somebody outside.
    pub fn effect(name: impl Into<String>, effect: Effect) -> Self {
        Self { name: name.into(), action: Action::Effect(Box::new(effect)) }
    }
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A command was decided.
    Outcome(Outcome),
    /// Somebody outside has answered.
    Effect(EffectResult),
}

/// The answers to an event's steps so far, by step name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers(BTreeMap<String, Answer>);

impl Answers {
    /// No answers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes an answer.
    pub fn insert(&mut self, step: impl Into<String>, answer: Answer) {
        self.0.insert(step.into(), answer);
    }

    /// The answer to a step.
    pub fn get(&self, step: &str) -> Option<&Answer> {
        self.0.get(step)
    }

    /// What became of a command; none as long as it is not known, and for an effect.
    pub fn outcome(&self, step: &str) -> Option<&Outcome> {
        match self.get(step) {
            Some(Answer::Outcome(outcome)) => Some(outcome),
            _ => None,
        }
    }

    /// The answer from outside; none as long as there is none, and for a command.
    pub fn effect(&self, step: &str) -> Option<&EffectResult> {
        match self.get(step) {
            Some(Answer::Effect(result)) => Some(result),
            _ => None,
        }
    }

    /// Why a command was refused; none when it was not (yet).
    pub fn rejection(&self, step: &str) -> Option<&Rejection> {
        match self.outcome(step) {
            Some(Outcome::Rejected(rejection)) => Some(rejection),
            _ => None,
        }
    }

    /// Whether a command was accepted, or there was nothing left to do for it.
    pub fn is_done(&self, step: &str) -> bool {
        matches!(self.outcome(step), Some(Outcome::Accepted(_) | Outcome::Unchanged { .. }))
    }

    /// Whether there was nothing (left) to do for a command.
    pub fn is_unchanged(&self, step: &str) -> bool {
        matches!(self.outcome(step), Some(Outcome::Unchanged { .. }))
    }

    /// All answers, ordered by step.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Answer)> {
        self.0.iter().map(|(step, answer)| (step.as_str(), answer))
    }
}
