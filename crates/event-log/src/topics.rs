//! The topics of one namespace.

use std::sync::Arc;

use schemas::AggregateType;

/// The topics of one namespace: one of events per aggregate, the commands, the outcomes, the shards' owners.
///
/// Cheap to clone; names are shared.
#[derive(Clone, Debug)]
pub struct Topics(Arc<Names>);

#[derive(Debug)]
struct Names {
    namespace: Box<str>,
    /// Indexed by [`AggregateType::ALL`], then commands, outcomes, shard owners.
    all: Vec<Arc<str>>,
}

const EVENTS: usize = AggregateType::ALL.len();

impl Topics {
    /// The topics under `namespace`.
    pub fn new(namespace: &str) -> Self {
        let events = AggregateType::ALL.iter().map(|aggregate| format!("{namespace}.{aggregate}.events"));
        let others =
            ["commands", "outcomes", "shard-owners"].iter().map(|name| format!("{namespace}.{name}"));
        let all = events.chain(others).map(Arc::from).collect();
        Self(Arc::new(Names { namespace: namespace.into(), all }))
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// `<ns>.<aggregate>.events`: what happened, in order.
    pub fn events(&self, aggregate: AggregateType) -> &Arc<str> {
        let index = AggregateType::ALL.iter().position(|known| *known == aggregate);
        &self.0.all[index.expect("ALL lists every aggregate")]
    }

    /// The topics of events of all aggregates, in the order of [`AggregateType::ALL`].
    pub fn all_events(&self) -> &[Arc<str>] {
        &self.0.all[..EVENTS]
    }

    /// `<ns>.commands`: commands that come in over the log.
    pub fn commands(&self) -> &Arc<str> {
        &self.0.all[EVENTS]
    }

    /// `<ns>.outcomes`: rejections and no-ops, key = command id, on the deciding shard's partition.
    pub fn outcomes(&self) -> &Arc<str> {
        &self.0.all[EVENTS + 1]
    }

    /// `<ns>.shard-owners`: who owns which shard (compacted).
    pub fn shard_owners(&self) -> &Arc<str> {
        &self.0.all[EVENTS + 2]
    }

    /// All topics.
    pub fn all(&self) -> &[Arc<str>] {
        &self.0.all
    }

    /// The aggregate whose events `topic` holds; `None` for every other topic.
    pub fn aggregate_of(&self, topic: &str) -> Option<AggregateType> {
        let index = self.all_events().iter().position(|known| **known == *topic)?;
        Some(AggregateType::ALL[index])
    }

    /// The place of `topic` in [`Topics::all`].
    pub(crate) fn index_of(&self, topic: &str) -> Option<usize> {
        self.0.all.iter().position(|known| **known == *topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_aggregate_has_a_topic_that_leads_back_to_it() {
        let topics = Topics::new("shop");
        for aggregate in AggregateType::ALL {
            assert_eq!(topics.aggregate_of(topics.events(aggregate)), Some(aggregate));
        }
        assert_eq!(&**topics.events(AggregateType::Order), "shop.order.events");
        assert_eq!(&**topics.shard_owners(), "shop.shard-owners");
        assert_eq!(topics.aggregate_of("shop.commands"), None);
        assert_eq!(topics.aggregate_of("other.order.events"), None);
        assert_eq!(topics.all().len(), AggregateType::ALL.len() + 3);
    }
}
