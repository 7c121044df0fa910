//! Where every shard is decided: what the `shard-owners` topic says, followed live.
//!
//! It tells whom to ask and nothing more. A wrong guess costs one hop, never a wrong write: an owner that has been
//! replaced is fenced.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use event_log::{Cursor, Log, Shard, decode_shard_owner};
use service_kit::Stop;
use tokio::sync::watch;

use crate::StartError;

/// How long one read of the topic waits, and the pause after one that failed.
const READ_WAIT: Duration = Duration::from_millis(200);
/// Records read at once.
const RECORDS: usize = 1_000;

/// Another node that owns a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The node's name.
    pub name: String,
    /// Where its commands API listens, `host:port`.
    pub address: String,
    /// The term of its ownership.
    pub term: u64,
}

/// The owners known so far.
pub(crate) struct Owners {
    known: RwLock<HashMap<Shard, Known>>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    owner: Option<Owner>,
    /// The last term of this node's own; whoever is named with it is us.
    own_term: u64,
}

impl Default for Owners {
    fn default() -> Self {
        Self { known: RwLock::default(), changes: watch::Sender::new(0) }
    }
}

impl Owners {
    /// The owner of a shard that this node does not serve; `None` while nobody newer than ourselves is known.
    pub(crate) fn owner(&self, shard: Shard) -> Option<Owner> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(&shard)?;
        known.owner.clone().filter(|owner| owner.term > known.own_term && !owner.address.is_empty())
    }

    /// Whether an ownership later than that of `term` is known, whoever's.
    pub(crate) fn is_replaced(&self, shard: Shard, term: u64) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&shard).is_some_and(|known| {
            known.own_term > term || known.owner.as_ref().is_some_and(|owner| owner.term > term)
        })
    }

    /// Told after every change of what is served here or elsewhere.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// This node's ownership of `shard` under `term` has ended.
    pub(crate) fn gave_up(&self, shard: Shard, term: u64) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(shard).or_default();
        known.own_term = known.own_term.max(term);
    }

    fn learn(&self, shard: Shard, owner: Owner) {
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(shard).or_default();
        if known.owner.as_ref().is_none_or(|last| last.term < owner.term) {
            known.owner = Some(owner);
            drop(all);
            self.changed();
        }
    }

    /// Follows the topic until `stop`; a log that is away is asked again.
    pub(crate) fn follow(&self, log: &Arc<dyn Log>, stop: &Stop) -> Result<(), StartError> {
        let topic = log.topics().shard_owners().clone();
        let mut from: Vec<_> = (0..log.partitions()).map(|k| Cursor::start(topic.clone(), k)).collect();
        while !stop.is_requested() {
            match self.read(log, &mut from, stop) {
                Ok(()) | Err(event_log::Error::Closed) => return Ok(()),
                Err(error) => {
                    tracing::debug!(error = %service_kit::Chain(&error), "following the shards' owners goes on after an error");
                    std::thread::sleep(READ_WAIT);
                }
            }
        }
        Ok(())
    }

    fn read(&self, log: &Arc<dyn Log>, from: &mut Vec<Cursor>, stop: &Stop) -> Result<(), event_log::Error> {
        let mut reader = log.open_reader(from)?;
        while !stop.is_requested() {
            for record in reader.read(RECORDS, READ_WAIT)? {
                match decode_shard_owner(&record) {
                    Ok(found) => {
                        let (name, address, term) = (found.owner, found.address, found.term.get());
                        self.learn(found.shard, Owner { name, address, term });
                    }
                    Err(error) => {
                        tracing::warn!(position = %record.position, %error, "a record of the shards' owners is skipped");
                    }
                }
            }
            *from = reader.next_offsets();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(address: &str, term: u64) -> Owner {
        Owner { name: "node".to_owned(), address: address.to_owned(), term }
    }

    #[test]
    fn the_greatest_term_is_the_owner_and_ourselves_are_nobody_to_forward_to() {
        let (owners, shard) = (Owners::default(), Shard::new(1));
        assert_eq!(owners.owner(shard), None);
        owners.learn(shard, owner("a:1", 7));
        owners.learn(shard, owner("b:1", 6));
        assert_eq!(owners.owner(shard).unwrap().address, "a:1");
        owners.gave_up(shard, 7);
        assert_eq!(owners.owner(shard), None, "term 7 was ours");
        owners.learn(shard, owner("b:1", 8));
        assert_eq!(owners.owner(shard).unwrap().address, "b:1");
        owners.learn(shard, owner("", 9));
        assert_eq!(owners.owner(shard), None, "a node without an address cannot be asked");
    }

    #[test]
    fn an_ownership_is_over_once_a_later_one_is_known_whoevers_it_is() {
        let (owners, shard) = (Owners::default(), Shard::new(1));
        assert!(!owners.is_replaced(shard, 0), "nobody is known");
        owners.learn(shard, owner("a:1", 7));
        assert!(!owners.is_replaced(shard, 7));
        assert!(owners.is_replaced(shard, 6));
        owners.learn(shard, owner("", 8));
        assert!(owners.is_replaced(shard, 7), "by a node that cannot be asked, too");
        owners.gave_up(shard, 9);
        assert!(owners.is_replaced(shard, 8), "by this node, which has lost it again");
        assert!(!owners.is_replaced(Shard::new(2), 1), "another shard is another matter");
    }

    #[test]
    fn whoever_waits_hears_of_every_change() {
        let owners = Owners::default();
        let mut changes = owners.changes();
        owners.learn(Shard::new(0), owner("a:1", 1));
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        owners.learn(Shard::new(0), owner("a:1", 1));
        assert!(!changes.has_changed().unwrap(), "nothing new");
    }
}
