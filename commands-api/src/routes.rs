//! The routes, one module an aggregate.

use axum::Router;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::Answered;
use crate::app::Api;
use crate::error::ApiError;

mod bulk;
mod cart;
mod command;
mod customer;
mod internal;
mod order;
mod payment;
mod product;
mod shipment;
mod stock;

pub(crate) use cart::CheckoutAnswer;

/// What a route for one command comes to.
type Reply = Result<Answered, ApiError>;

/// The routes for one command each.
pub(crate) fn resources() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(product::draft))
        .routes(routes!(product::describe))
        .routes(routes!(product::price))
        .routes(routes!(product::publish))
        .routes(routes!(product::retire))
        .routes(routes!(stock::receive))
        .routes(routes!(stock::adjust))
        .routes(routes!(stock::set_low_stock_threshold))
        .routes(routes!(cart::open))
        .routes(routes!(cart::add))
        .routes(routes!(cart::change, cart::remove))
        .routes(routes!(cart::claim))
        .routes(routes!(cart::check_out))
        .routes(routes!(order::place))
        .routes(routes!(order::cancel))
        .routes(routes!(order::return_line))
        .routes(routes!(payment::capture))
        .routes(routes!(payment::void))
        .routes(routes!(payment::refund))
        .routes(routes!(customer::register))
        .routes(routes!(customer::change_profile))
        .routes(routes!(customer::put_address, customer::remove_address))
        .routes(routes!(customer::record_consent))
        .routes(routes!(customer::record_interaction))
        .routes(routes!(customer::add_tag, customer::remove_tag))
        .routes(routes!(customer::credit))
        .routes(routes!(shipment::track))
        .routes(routes!(shipment::deliver))
        .routes(routes!(shipment::fail))
}

/// The route that tells outcomes.
pub(crate) fn status() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(command::status))
}

/// The routes between nodes, which nobody else is told of.
pub(crate) fn internal(api: &Api) -> Router<Api> {
    internal::router(api)
}

/// The route for many commands.
pub(crate) fn bulk() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(bulk::submit))
}
