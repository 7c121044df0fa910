//! What an order must be like to be placed.

use schemas::order::{LINES_MAX, OrderLine, OrderPlaced, PlaceOrder};
use schemas::{Currency, Money, OrderId};

use super::OrderError;
use crate::limits;

/// Whether the order that stands is the one that is placed again.
pub(super) fn is_same(placed: &OrderPlaced, command: &PlaceOrder) -> bool {
    placed.customer_id == command.customer_id
        && placed.email == command.email
        && placed.channel == command.channel
        && placed.country == command.country
        && placed.currency == command.currency
        && placed.lines == command.lines
        && placed.shipping_address == command.shipping_address
        && placed.payment_method == command.payment_method
}

/// The placed order with its sums, if everything in it holds together.
pub(super) fn place(order_id: OrderId, command: PlaceOrder) -> Result<OrderPlaced, OrderError> {
    if command.lines.is_empty() {
        return Err(OrderError::Empty { order_id });
    }
    if command.lines.len() > LINES_MAX {
        return Err(OrderError::TooLong { order_id, lines: command.lines.len(), lines_max: LINES_MAX });
    }
    limits::optional_text("email", command.email.as_deref(), 1..=limits::EMAIL_CHARS_MAX)?;
    limits::text("channel", &command.channel, 1..=limits::LABEL_CHARS_MAX)?;
    limits::text("country", &command.country, 1..=limits::LABEL_CHARS_MAX)?;
    limits::text("payment_method", &command.payment_method, 0..=limits::LABEL_CHARS_MAX)?;
    if let Some(address) = &command.shipping_address {
        limits::address("shipping_address", address)?;
    }
    limits::texts_together("lines", command.lines.iter().flat_map(|line| [line.sku.as_str(), &line.name]))?;
    let mut total = Money::zero(command.currency);
    let mut tax = Money::zero(command.currency);
    for (number, line) in (1..).zip(&command.lines) {
        let invalid = |problem: &str| OrderError::LineInvalid { line: number, problem: problem.to_owned() };
        check_line(number, line, command.currency).map_err(invalid)?;
        total = total
            .checked_add(line.total)
            .ok()
            .filter(|total| total.amount_minor <= limits::AMOUNT_MINOR_MAX)
            .ok_or_else(|| invalid("makes the order's total too large"))?;
        // A line's tax is at most its total, so the sum of taxes fits when that of totals does.
        tax = tax.checked_add(line.tax).map_err(|_| invalid("makes the order's tax too large"))?;
    }
    let PlaceOrder {
        customer_id,
        email,
        channel,
        country,
        currency,
        lines,
        shipping_address,
        payment_method,
    } = command;
    Ok(OrderPlaced {
        order_id,
        customer_id,
        email,
        channel,
        country,
        currency,
        lines,
        total,
        tax,
        shipping_address,
        payment_method,
    })
}

/// One line: numbered in order, in the order's currency, nothing negative, its total what its parts say.
fn check_line(number: u32, line: &OrderLine, currency: Currency) -> Result<(), &'static str> {
    if line.line != number {
        return Err("is out of order: lines are numbered from 1 without gaps");
    }
    if limits::text("name", &line.name, 0..=limits::NAME_CHARS_MAX).is_err() {
        return Err("has a name of more than 300 characters");
    }
    let amounts = [line.unit_price, line.discount, line.tax, line.total];
    if amounts.iter().any(|amount| amount.currency != currency) {
        return Err("has an amount in another currency than the order's");
    }
    if amounts.iter().any(|amount| amount.amount_minor < 0) {
        return Err("has a negative amount");
    }
    let price = line
        .unit_price
        .checked_mul(line.quantity.get())
        .ok()
        .filter(|price| price.amount_minor <= limits::AMOUNT_MINOR_MAX)
        .ok_or("is worth too much")?;
    // Neither is negative, so the difference fits.
    if price.amount_minor - line.discount.amount_minor != line.total.amount_minor {
        return Err("has a total that is not quantity × unit price − discount");
    }
    if line.tax.amount_minor > line.total.amount_minor {
        return Err("has more tax than its total");
    }
    Ok(())
}
