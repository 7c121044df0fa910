//! Why an order refuses a command.

use schemas::order::OrderStatus;
use schemas::{Currency, Money, OrderId, Reference};

domain_errors! {
    /// Why an order refuses a command.
    OrderError {
        #[error("there is no order {order_id}")]
        NotFound { order_id: OrderId } => OrderNotFound,
        #[error("the order {order_id} exists already, with other content")]
        Exists { order_id: OrderId } => OrderExists,
        #[error("the order {order_id} has no lines")]
        Empty { order_id: OrderId } => OrderEmpty,
        #[error("the order {order_id} has {lines} lines, at most {lines_max} are allowed")]
        TooLong { order_id: OrderId, lines: usize, lines_max: usize } => OrderTooLong,
        #[error("line {line} {problem}")]
        LineInvalid { line: u32, problem: String } => OrderLineInvalid,
        #[error("to {wanted} is not possible for order {order_id}, which is {status:?}")]
        WrongStatus { order_id: OrderId, status: OrderStatus, wanted: &'static str } => OrderWrongStatus,
        #[error("the order {order_id} cannot be confirmed, its stock is not held yet")]
        NotReserved { order_id: OrderId } => OrderWrongStatus,
        #[error("the order {order_id} has no goods to ship")]
        NothingToShip { order_id: OrderId } => OrderWrongStatus,
        #[error("the order {order_id} has no line {line}")]
        LineNotFound { order_id: OrderId, line: u32 } => OrderLineNotFound,
        #[error("the reference {reference} stands for another return of order {order_id}")]
        ReferenceReused { order_id: OrderId, reference: Reference } => ReferenceReused,
        #[error("{requested} units of line {line} of order {order_id} would come back: {bought} were bought, {returned} are back")]
        ReturnExceedsOrder { order_id: OrderId, line: u32, requested: i64, bought: i64, returned: i64 } => ReturnExceedsOrder,
        #[error("{requested} would be refunded for line {line} of order {order_id}, at most {refundable} is possible")]
        RefundExceedsPrice { order_id: OrderId, line: u32, requested: Money, refundable: Money } => RefundExceedsPrice,
        #[error("the order is in {expected}, the amount in {given}")]
        CurrencyMismatch { expected: Currency, given: Currency } => CurrencyMismatch,
        #[error("{field} {problem}")]
        InvalidValue { field: &'static str, problem: String } => InvalidValue,
    }
}
