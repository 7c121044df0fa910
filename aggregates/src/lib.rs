//! What is decided: the aggregates of the shop.
