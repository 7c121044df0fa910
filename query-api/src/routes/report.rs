//! What it adds up to: totals, whole and by day.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use axum::response::Response;
use jiff::civil::Date;
use projections::{CustomerOrders, DayMoney, DayTotals, Projection, TotalsByDay};
use read_store::{PageCursor, Row, Table};
use schemas::Currency;
use serde::{Deserialize, Serialize};
use service_kit::{Problem, Query};
use utoipa::{IntoParams, ToSchema};

use crate::position::{MinPosition, MinPositionHeader};
use crate::refusals::{OutOfRange, Refusals};
use crate::view::{View, parse};
use crate::{QueryState, error};

/// Most rows read from the store at once.
const ROWS_MAX: usize = 1_000;

/// Which totals.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TotalsQuery {
    /// First day, `YYYY-MM-DD`; the first there is by default.
    #[param(format = Date)]
    from: Option<String>,
    /// Last day, `YYYY-MM-DD`, included; the last there is by default.
    #[param(format = Date)]
    to: Option<String>,
    /// Whose money, ISO 4217; needed only where orders, refunds and credits were in several currencies.
    #[param(pattern = "^[A-Z]{3}$")]
    currency: Option<String>,
}

/// Totals of one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DayView {
    /// The day in UTC, `YYYY-MM-DD`, of when things happened.
    pub day: String,
    /// Orders placed, cancelled ones included.
    pub orders: i64,
    /// Of these, by guests.
    pub guest_orders: i64,
    /// Lines of the orders placed.
    pub order_lines: i64,
    /// Orders cancelled that day, whenever they were placed.
    pub cancelled_orders: i64,
    /// Rows of corrections of stock.
    pub correction_lines: i64,
    /// Rows of return documents; one that was split counts once.
    pub return_rows: i64,
    /// Rows of credit notes.
    pub credit_rows: i64,
    /// Totals of the orders placed, cancelled ones included, minor units.
    pub gross: i64,
    /// Totals of the orders cancelled that day, minor units.
    pub cancelled_gross: i64,
    /// Granted for returned order lines, whether or not paid back yet, minor units.
    pub return_value: i64,
    /// Paid back by the payment provider, minor units.
    pub refunds: i64,
    /// Credits to customers' accounts less debits, minor units.
    pub credits: i64,
    /// gross − refunds − credits, minor units.
    pub net: i64,
    /// Units received.
    pub received_units: i64,
    /// Units that left.
    pub shipped_units: i64,
    /// Units of order lines that came back into stock.
    pub returned_units: i64,
    /// Units added by adjustments less units taken away.
    pub adjusted_units: i64,
}

/// Totals of a range of days. Counts are over all currencies, money is in `currency`, minor units.
///
/// All numbers are of the range, but for `customers`, `skus` and `on_hand_units`, which are of the whole log up to now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TotalsView {
    /// First day asked for.
    pub from: Option<String>,
    /// Last day asked for.
    pub to: Option<String>,
    /// Currency of the money; none: there was no money.
    pub currency: Option<Currency>,
    /// Orders placed, cancelled ones included.
    pub orders: i64,
    /// Of these, by guests.
    pub guest_orders: i64,
    /// Lines of the orders placed.
    pub order_lines: i64,
    /// Customers with an order, each once; of the whole log.
    pub customers: i64,
    /// Products started, which is SKUs; of the whole log.
    pub skus: i64,
    /// Rows of corrections of stock.
    pub correction_lines: i64,
    /// Rows of return documents: order lines taken back, and goods that no order explains; one that was split counts
    /// once.
    pub return_rows: i64,
    /// Rows of credit notes.
    pub credit_rows: i64,
    /// Totals of the orders placed, cancelled ones included.
    pub gross: i64,
    /// Paid back by the payment provider.
    pub refunds: i64,
    /// Credits to customers' accounts less debits.
    pub credits: i64,
    /// gross − refunds − credits.
    pub net: i64,
    /// Units received.
    pub opening_units: i64,
    /// Units in the house: received − shipped + returned into stock + adjusted; of the whole log.
    pub on_hand_units: i64,
    /// Orders cancelled in the range, whenever they were placed.
    pub cancelled_orders: i64,
    /// Totals of the orders cancelled in the range.
    pub cancelled_gross: i64,
    /// Granted for returned order lines, whether or not paid back yet.
    pub return_value: i64,
    /// Units that left.
    pub shipped_units: i64,
    /// Units of order lines that came back into stock.
    pub returned_units: i64,
    /// Units added by adjustments less units taken away.
    pub adjusted_units: i64,
    /// Each day of the range on which anything happened.
    pub by_day: Vec<DayView>,
}

/// Totals, whole and by day. A day is one in UTC, of when things happened; there is no other time zone yet.
#[utoipa::path(
    get,
    path = "/v1/reports/totals",
    tag = "reports",
    params(TotalsQuery, MinPositionHeader),
    responses(
        (status = 200, description = "The totals", body = TotalsView,
            headers(("Millrace-Position" = String, description = "What the answer reflects"))),
        Refusals<OutOfRange>,
    )
)]
pub(crate) async fn get_totals(
    State(state): State<QueryState>,
    min_position: MinPosition,
    Query(query): Query<TotalsQuery>,
) -> Result<Response, Problem> {
    let (from, to) = (parse_day("from", query.from.as_deref())?, parse_day("to", query.to.as_deref())?);
    if let (Some(from), Some(to)) = (&from, &to)
        && from > to
    {
        return Err(error::invalid("to", format!("to ({to}) is before from ({from})")));
    }
    let asked: Option<Currency> = query
        .currency
        .map(|code| code.parse().map_err(|e: schemas::MoneyError| error::invalid("currency", e.to_string())))
        .transpose()?;
    let view = View::open(&state, &[TotalsByDay::TABLE, CustomerOrders::TABLE], min_position).await?;

    let mut whole = DayTotals::default();
    let mut days: BTreeMap<String, DayTotals> = BTreeMap::new();
    each_row(&state, TotalsByDay::TABLE, |row| {
        let part: DayTotals = parse(&row.document)?;
        whole.merge(&part).map_err(error::fold)?;
        let day = &row.partition_key;
        let inside = from.as_ref().is_none_or(|from| day >= from) && to.as_ref().is_none_or(|to| day <= to);
        if inside {
            days.entry(row.partition_key).or_default().merge(&part).map_err(error::fold)?;
        }
        Ok(())
    })
    .await?;
    let currency = choose_currency(asked, &whole)?;
    let mut range = DayTotals::default();
    for day in days.values() {
        range.merge(day).map_err(error::fold)?;
    }
    let by_day =
        days.iter().map(|(day, totals)| day_view(day, totals, currency)).collect::<Result<_, _>>()?;
    let customers = count_customers(&state).await?;
    view.json(&totals_view(from, to, currency, customers, &whole, &range, by_day)?)
}

fn parse_day(field: &'static str, text: Option<&str>) -> Result<Option<String>, Problem> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    match text.parse::<Date>() {
        Ok(date) if date.to_string() == text => Ok(Some(text.to_owned())),
        _ => Err(error::invalid(field, format!("{field} is not a day like 2010-12-01"))),
    }
}

/// The currency asked for, or the only one there is.
fn choose_currency(asked: Option<Currency>, whole: &DayTotals) -> Result<Option<Currency>, Problem> {
    let known: BTreeSet<&Currency> = whole.money.keys().collect();
    match (asked, known.len()) {
        (Some(asked), _) => Ok(Some(asked)),
        (None, 0 | 1) => Ok(known.first().map(|only| **only)),
        (None, _) => {
            let codes: Vec<_> = known.iter().map(|currency| currency.to_string()).collect();
            let detail = format!("there is money in {}; say which with currency", codes.join(", "));
            Err(error::invalid("currency", detail).fact("currencies", codes))
        }
    }
}

fn money(totals: &DayTotals, currency: Option<Currency>) -> DayMoney {
    currency.and_then(|currency| totals.money.get(&currency)).copied().unwrap_or_default()
}

fn net(money: &DayMoney) -> Result<i64, Problem> {
    let net = money.gross.checked_sub(money.refunds).and_then(|rest| rest.checked_sub(money.credits));
    net.ok_or_else(|| error::fold(projections::FoldError::Overflow { what: "net" }))
}

fn day_view(day: &str, totals: &DayTotals, currency: Option<Currency>) -> Result<DayView, Problem> {
    let money = money(totals, currency);
    Ok(DayView {
        day: day.to_owned(),
        orders: totals.orders,
        guest_orders: totals.guest_orders,
        order_lines: totals.order_lines,
        cancelled_orders: totals.cancelled_orders,
        correction_lines: totals.correction_lines,
        return_rows: totals.return_rows,
        credit_rows: totals.credit_rows,
        gross: money.gross,
        cancelled_gross: money.cancelled_gross,
        return_value: money.return_value,
        refunds: money.refunds,
        credits: money.credits,
        net: net(&money)?,
        received_units: totals.received_units,
        shipped_units: totals.shipped_units,
        returned_units: totals.returned_units,
        adjusted_units: totals.adjusted_units,
    })
}

fn totals_view(
    from: Option<String>,
    to: Option<String>,
    currency: Option<Currency>,
    customers: i64,
    whole: &DayTotals,
    range: &DayTotals,
    by_day: Vec<DayView>,
) -> Result<TotalsView, Problem> {
    let money = money(range, currency);
    Ok(TotalsView {
        from,
        to,
        currency,
        orders: range.orders,
        guest_orders: range.guest_orders,
        order_lines: range.order_lines,
        customers,
        skus: whole.products,
        correction_lines: range.correction_lines,
        return_rows: range.return_rows,
        credit_rows: range.credit_rows,
        gross: money.gross,
        refunds: money.refunds,
        credits: money.credits,
        net: net(&money)?,
        opening_units: range.received_units,
        on_hand_units: whole.received_units - whole.shipped_units
            + whole.returned_units
            + whole.adjusted_units,
        cancelled_orders: range.cancelled_orders,
        cancelled_gross: money.cancelled_gross,
        return_value: money.return_value,
        shipped_units: range.shipped_units,
        returned_units: range.returned_units,
        adjusted_units: range.adjusted_units,
        by_day,
    })
}

/// Customers have a row in each partition that holds orders of theirs; the rows of a customer lie together.
async fn count_customers(state: &QueryState) -> Result<i64, Problem> {
    let (mut count, mut last) = (0, String::new());
    each_row(state, CustomerOrders::TABLE, |row| {
        if row.partition_key != last {
            count += 1;
            last = row.partition_key;
        }
        Ok(())
    })
    .await?;
    Ok(count)
}

async fn each_row(
    state: &QueryState,
    table: Table,
    mut take: impl FnMut(Row) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let mut after: Option<PageCursor> = None;
    loop {
        let page = state.store.scan_table(table, after.as_ref(), ROWS_MAX).await.map_err(error::store)?;
        for row in page.rows {
            take(row)?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}
