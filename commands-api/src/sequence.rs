//! The order of one stream's commands within a bulk request, where their shard may change hands.
//!
//! They are under way together, and arrive at the shard's owner in the order in which they were passed on. When that owner
//! is replaced, or refuses them, each is submitted again; then one may not overtake another. So each has a [`Link`] to the
//! one before it, and follows it to the same ownership, or waits until it has ended.

use std::collections::HashMap;
use std::sync::Arc;

use schemas::StreamId;
use tokio::sync::watch;

/// Streams that a request may have named before those that are through are forgotten.
const FORGET_AT_LEAST: usize = 64;

/// The streams of one request.
pub(crate) struct Sequences {
    /// The last command of each stream.
    last: HashMap<StreamId, watch::Receiver<Option<Place>>>,
    forget_at: usize,
}

impl Default for Sequences {
    fn default() -> Self {
        Self { last: HashMap::new(), forget_at: FORGET_AT_LEAST }
    }
}

impl Sequences {
    /// The link of the stream's next command.
    pub(crate) fn next(&mut self, stream: &StreamId) -> Link {
        if self.last.len() >= self.forget_at {
            self.last.retain(|_, last| !has_ended(last));
            self.forget_at = FORGET_AT_LEAST.max(self.last.len() * 2);
        }
        let (at, last) = watch::channel(None);
        Link { at: Some(Arc::new(at)), before: self.last.insert(stream.clone(), last) }
    }
}

/// Where a command is passed on to: an ownership by its term, and the way there, for on another way one may overtake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// This node's own queue.
    Here(u64),
    /// Over a hop.
    There(u64),
}

/// One command's link to the one before it in its stream's sequence; by default it is in none. The command ends with it: when
/// all its clones are dropped.
///
/// The links of a sequence are polled by one task, so that what is passed on first arrives first.
#[derive(Clone, Default)]
pub(crate) struct Link {
    /// Where the next one may follow to.
    at: Option<Arc<watch::Sender<Option<Place>>>>,
    before: Option<watch::Receiver<Option<Place>>>,
}

impl Link {
    /// Whether the command may go to `place`: the one before it is there, or has ended.
    pub(crate) fn may_go(&mut self, place: Place) -> bool {
        let Some(before) = &mut self.before else { return true };
        *before.borrow_and_update() == Some(place) || has_ended(before)
    }

    /// Waits until [`Link::may_go`] may say otherwise.
    pub(crate) async fn before_moves(&mut self) {
        if let Some(before) = &mut self.before {
            // An error: it has ended.
            let _ = before.changed().await;
        }
    }

    /// The command is passed on to `place`. Whether an owner serves yet that took over while the command was under way is not
    /// known: then the next one waits for the outcome.
    pub(crate) fn goes(&self, place: Place, is_first_time: bool) {
        let follows = || self.before.as_ref().is_some_and(|before| *before.borrow() == Some(place));
        if is_first_time || follows() {
            self.say(Some(place));
        }
    }

    /// The owner at `place` has given its outcome.
    pub(crate) fn arrived(&self, place: Place) {
        self.say(Some(place));
    }

    /// The command has to be submitted again.
    pub(crate) fn came_back(&self) {
        self.say(None);
    }

    fn say(&self, at: Option<Place>) {
        if let Some(link) = &self.at {
            link.send_if_modified(|last| std::mem::replace(last, at) != at);
        }
    }
}

fn has_ended(last: &watch::Receiver<Option<Place>>) -> bool {
    last.has_changed().is_err()
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use schemas::{Sku, StreamId};

    use super::Place::{Here, There};
    use super::*;

    fn stream(sku: &str) -> StreamId {
        StreamId::stock(&Sku::new(sku).unwrap())
    }

    fn three() -> [Link; 3] {
        let mut sequences = Sequences::default();
        [(); 3].map(|()| sequences.next(&stream("A")))
    }

    #[test]
    fn commands_follow_each_other_to_one_owner_without_waiting() {
        let [mut first, mut second, mut third] = three();
        assert!(first.may_go(There(7)));
        assert!(!second.may_go(There(7)), "the first one is not on its way");
        first.goes(There(7), true);
        assert!(second.may_go(There(7)));
        assert!(!second.may_go(There(8)), "another owner would have it before the first");
        assert!(!second.may_go(Here(7)), "this node would, were it the owner and asked itself over a hop");
        second.goes(There(7), true);
        assert!(third.may_go(There(7)));
    }

    #[test]
    fn what_comes_back_goes_again_one_after_the_other_until_the_new_owner_has_answered() {
        let [mut first, mut second, mut third] = three();
        for link in [&first, &second, &third] {
            link.goes(There(7), true);
        }
        for link in [&first, &second, &third] {
            link.came_back();
        }
        assert!(first.may_go(There(8)));
        first.goes(There(8), false);
        assert!(!second.may_go(There(8)), "the new owner may not serve yet, and refuse the first one only");
        assert!(second.before_moves().now_or_never().is_none());
        first.arrived(There(8));
        drop(first);
        assert!(second.before_moves().now_or_never().is_some());
        assert!(second.may_go(There(8)));
        second.goes(There(8), false);
        assert!(third.may_go(There(8)), "now it is known to serve");
    }

    #[test]
    fn one_that_ended_without_an_outcome_holds_nobody_up_and_proves_nothing() {
        let [first, mut second, mut third] = three();
        for link in [&first, &second, &third] {
            link.goes(There(7), true);
        }
        second.came_back();
        assert!(second.may_go(There(7)), "the first one is there still");
        first.came_back();
        assert!(!second.may_go(There(7)));
        drop(first);
        assert!(second.may_go(There(8)));
        second.goes(There(8), false);
        assert!(!third.may_go(There(8)));
    }

    #[test]
    fn a_clone_keeps_a_link_from_ending_and_streams_know_nothing_of_each_other() {
        let mut sequences = Sequences::default();
        let first = sequences.next(&stream("A"));
        let again = first.clone();
        drop(first);
        let mut second = sequences.next(&stream("A"));
        assert!(!second.may_go(There(7)));
        assert!(sequences.next(&stream("B")).may_go(There(7)));
        drop(again);
        assert!(second.may_go(There(7)));
        assert!(Link::default().may_go(There(7)));
    }

    #[test]
    fn streams_that_are_through_are_forgotten() {
        let mut sequences = Sequences::default();
        let held = sequences.next(&stream("held"));
        for number in 0..10 * FORGET_AT_LEAST {
            sequences.next(&stream(&number.to_string()));
        }
        assert!(sequences.last.len() <= FORGET_AT_LEAST);
        drop(held);
    }
}
