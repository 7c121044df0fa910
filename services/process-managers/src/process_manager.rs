//! The trait of a process manager: pure functions.

use schemas::{AggregateType, OrderId, RecordedEvent};

use crate::{Answers, Step};

/// What has to happen next when something has happened: pure functions of events and answers.
///
/// * **Purity**: no clock, no randomness, no IO, no state. The same event and answers give the same steps, so that a
///   redelivered event leads to the same commands under the same ids.
/// * **Order**: events of one [key](ProcessManager::key) are handled one after the other as they come. Events of
///   different topics come in any order, and after a crash earlier ones come again behind later ones.
/// * **Answers**: a refusal is an answer. Every refusal that can happen has a way on in
///   [`conclude`](ProcessManager::conclude), or is one that needs none.
pub trait ProcessManager: Send + Sync + 'static {
    /// What it achieves: part of the principal `process:<name>` of its commands.
    fn name(&self) -> &'static str;

    /// The aggregates whose events it reads.
    fn aggregates(&self) -> &'static [AggregateType];

    /// The order that the event belongs to; none: the event does not concern it.
    fn key(&self, event: &RecordedEvent) -> Option<OrderId>;

    /// The first steps of an event: all are taken at the same time.
    fn react(&self, event: &RecordedEvent) -> Vec<Step>;

    /// What follows from the answers so far. It is asked again after each round, and whatever it names again is not
    /// repeated; the event is dealt with once it names nothing new.
    fn conclude(&self, event: &RecordedEvent, answers: &Answers) -> Vec<Step>;

    /// Whether the answers need somebody's eye: a sentence for the log; none: all is as it should be.
    fn alarm(&self, event: &RecordedEvent, answers: &Answers) -> Option<String>;
}
