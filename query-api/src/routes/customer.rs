//! Who buys: the account, with the sums of what was bought.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use projections::{
    AccountCredit, CustomerAccounts, CustomerCredits, CustomerDocument, CustomerOrders,
    CustomerOrdersDocument, Projection,
};
use schemas::{Currency, ErrorCode, OrderId, Timestamp};
use serde::{Deserialize, Serialize};
use service_kit::{Path, Problem, Query, problem_codes};
use utoipa::ToSchema;

use crate::page::{Page, PageQuery, partition_page, raw_page, table_page};
use crate::position::{MinPosition, MinPositionHeader};
use crate::refusals::{OutOfRange, Refusals};
use crate::view::{View, parse};
use crate::{QueryState, error};

problem_codes! {
    /// There is no such customer.
    NoCustomer: CustomerNotFound;
    /// There is no such customer, or no such page.
    NoCredits: CustomerNotFound, InvalidValue;
}

/// More partitions than a log has.
const PARTITIONS_MAX: usize = 1_024;

/// What a customer paid and got back in one currency, minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CustomerOrderMoney {
    /// The currency.
    pub currency: Currency,
    /// Totals of the orders placed, cancelled ones included.
    pub gross: i64,
    /// What was granted back for returned lines.
    pub refunds: i64,
}

/// What a customer bought.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CustomerOrderSums {
    /// Orders placed, cancelled ones included.
    pub count: i64,
    /// Orders delivered.
    pub delivered: i64,
    /// Sums in each currency, ordered by currency.
    pub money: Vec<CustomerOrderMoney>,
    /// When the first was placed.
    pub first_order_at: Option<Timestamp>,
    /// When the last was placed.
    pub last_order_at: Option<Timestamp>,
    /// Which that was.
    pub last_order_id: Option<OrderId>,
}

/// A customer's account, and what they bought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CustomerView {
    /// The account.
    #[serde(flatten)]
    pub account: CustomerDocument,
    /// Sums over all orders.
    pub orders: CustomerOrderSums,
}

/// Adds up a customer's rows, one per partition of the orders.
async fn order_sums(state: &QueryState, customer_id: &str) -> Result<CustomerOrderSums, Problem> {
    let rows = state
        .store
        .scan(CustomerOrders::TABLE, customer_id, "", PARTITIONS_MAX)
        .await
        .map_err(error::store)?;
    let mut sums = CustomerOrderSums::default();
    let mut money: BTreeMap<Currency, (i64, i64)> = BTreeMap::new();
    let overflow = || error::fold(projections::FoldError::Overflow { what: "a customer's orders" });
    for row in rows {
        let part: CustomerOrdersDocument = parse(&row.document)?;
        sums.count += part.orders;
        sums.delivered += part.delivered_orders;
        for (currency, amounts) in part.money {
            let (gross, refunds) = money.entry(currency).or_default();
            *gross = gross.checked_add(amounts.gross).ok_or_else(overflow)?;
            *refunds = refunds.checked_add(amounts.refunds).ok_or_else(overflow)?;
        }
        sums.first_order_at = [sums.first_order_at, part.first_order_at].into_iter().flatten().min();
        if part.last_order_at > sums.last_order_at {
            sums.last_order_at = part.last_order_at;
            sums.last_order_id = part.last_order_id;
        }
    }
    let money = money.into_iter();
    sums.money =
        money.map(|(currency, (gross, refunds))| CustomerOrderMoney { currency, gross, refunds }).collect();
    Ok(sums)
}

/// Lists customers.
#[utoipa::path(
    get,
    path = "/v1/customers",
    tag = "customers",
    params(PageQuery, MinPositionHeader),
    responses(
        (status = 200, description = "A page, ordered by id", body = Page<CustomerView>,
            headers(("Millrace-Position" = String, description = "What the answer reflects"))),
        Refusals<OutOfRange>,
    )
)]
pub(crate) async fn list_customers(
    State(state): State<QueryState>,
    min_position: MinPosition,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let view = View::open(&state, &[CustomerAccounts::TABLE, CustomerOrders::TABLE], min_position).await?;
    let (accounts, next_cursor) =
        table_page(&state, CustomerAccounts::TABLE, &query, |row| parse::<CustomerDocument>(&row.document))
            .await?;
    let mut items = Vec::with_capacity(accounts.len());
    for account in accounts {
        let orders = order_sums(&state, &account.id).await?;
        items.push(CustomerView { account, orders });
    }
    view.json(&Page { items, next_cursor })
}

/// A customer's account, and what they bought.
#[utoipa::path(
    get,
    path = "/v1/customers/{id}",
    tag = "customers",
    params(("id" = String, Path, description = "The customer"), MinPositionHeader),
    responses(
        (status = 200, description = "The customer", body = CustomerView,
            headers(
                ("Millrace-Position" = String, description = "What the answer reflects"),
                ("ETag" = String, description = "The customer's version, for If-Match"),
            )),
        Refusals<NoCustomer>,
    )
)]
pub(crate) async fn get_customer(
    State(state): State<QueryState>,
    min_position: MinPosition,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let view = View::open(&state, &[CustomerAccounts::TABLE, CustomerOrders::TABLE], min_position).await?;
    let account = view.get(CustomerAccounts::TABLE, &id).await?;
    let account = account.ok_or_else(|| error::not_found(ErrorCode::CustomerNotFound, "customer", &id))?;
    let account: CustomerDocument = parse(&account.document)?;
    let orders = order_sums(&state, &id).await?;
    let version = account.version;
    view.joined(&CustomerView { account, orders }, version)
}

/// Lists the credits and debits of a customer's account, the oldest first.
#[utoipa::path(
    get,
    path = "/v1/customers/{id}/credits",
    tag = "customers",
    params(("id" = String, Path, description = "The customer"), PageQuery, MinPositionHeader),
    responses(
        (status = 200, description = "A page, the oldest first", body = Page<AccountCredit>,
            headers(("Millrace-Position" = String, description = "What the answer reflects"))),
        Refusals<NoCredits>,
    )
)]
pub(crate) async fn list_credits(
    State(state): State<QueryState>,
    min_position: MinPosition,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let view = View::open(&state, &[CustomerAccounts::TABLE, CustomerCredits::TABLE], min_position).await?;
    if view.get(CustomerAccounts::TABLE, &id).await?.is_none() {
        return Err(error::not_found(ErrorCode::CustomerNotFound, "customer", &id));
    }
    let (rows, next) = partition_page(&state, CustomerCredits::TABLE, &id, &query).await?;
    let documents: Vec<_> = rows.into_iter().map(|row| row.document).collect();
    Ok(view.raw(raw_page(&documents, next.as_deref())))
}
