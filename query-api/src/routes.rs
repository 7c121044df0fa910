//! The routes, one module per resource.

pub(crate) mod cart;
pub(crate) mod customer;
pub(crate) mod order;
pub(crate) mod payment;
pub(crate) mod product;
pub(crate) mod report;
pub(crate) mod shipment;
pub(crate) mod stock;
pub(crate) mod stream;
