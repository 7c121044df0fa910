//! The figures that an import comes to: what the query API reports, and what a plan promises.

use serde::{Deserialize, Serialize};

macro_rules! figures {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// Totals of a shop; money in minor units.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub(crate) struct Figures {
            $($(#[$doc])* pub(crate) $name: i64,)+
        }

        impl Figures {
            /// Names and values, in the order of the report.
            pub(crate) fn entries(&self) -> [(&'static str, i64); 14] {
                [$((stringify!($name), self.$name),)+]
            }
        }
    };
}

figures! {
    /// Orders placed.
    orders,
    /// Of these, by guests.
    guest_orders,
    /// Lines of all orders.
    order_lines,
    /// Customers with an order.
    customers,
    /// Products.
    skus,
    /// Rows of stock corrections.
    correction_lines,
    /// Rows of returns, with or without an order that explains them; a row that was split counts once.
    return_rows,
    /// Rows of credit notes.
    credit_rows,
    /// Sum of the orders' totals.
    gross,
    /// Paid back for returned lines.
    refunds,
    /// Credited to accounts less debited.
    credits,
    /// gross − refunds − credits.
    net,
    /// Units received.
    opening_units,
    /// Units in the house.
    on_hand_units,
}
