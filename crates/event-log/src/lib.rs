//! The log: traits, embedded and Kafka backends, framing, contract suite.
