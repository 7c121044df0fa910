//! Load generator, peers, ceilings.
