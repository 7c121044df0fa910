//! The rules of the shop: every refusal reached, every invariant kept, every state the fold of its events.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, and it says where")]

mod cart;
mod customer;
mod order;
mod payment;
mod product;
mod properties;
mod scenario;
mod shipment;
mod state_shape;
mod stock;
