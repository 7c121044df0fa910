//! The mapping, invoice by invoice.

use std::collections::HashMap;
use std::sync::Arc;

use schemas::customer::CreditKind;
use schemas::order::LineKind;
use schemas::stock::AdjustmentKind;
use schemas::{CustomerId, OrderId, Quantity, Reference, Sku, Timestamp};

use super::returning::{OpenLines, Part};
use super::{Adjustment, Credit, Customer, GUEST, Line, Order, OrderReturn, Plan, Product};
use crate::import::csv::{BadRow, Document, Row};

/// How long before the first row the shop opens, milliseconds.
const OPENING_LEAD_MS: i64 = 60_000;

/// Plans the replay of `rows`, which stand in the file's order.
pub(in crate::import) fn plan(rows: Vec<Row>) -> Result<Plan, BadRow> {
    let opened_at = rows.iter().map(|row| row.at).min().unwrap_or_default().plus_millis(-OPENING_LEAD_MS);
    let mut builder = Builder::new(opened_at);
    for invoice in by_invoice(rows)? {
        builder.invoice(&invoice)?;
    }
    Ok(builder.finish())
}

/// Groups by invoice number first: an invoice stands where its first row stands, in one piece or not.
fn by_invoice(rows: Vec<Row>) -> Result<Vec<Vec<Row>>, BadRow> {
    let mut places: HashMap<Arc<str>, usize> = HashMap::new();
    let mut invoices: Vec<Vec<Row>> = Vec::new();
    for row in rows {
        let place = *places.entry(row.invoice.clone()).or_insert(invoices.len());
        match invoices.get_mut(place) {
            None => invoices.push(vec![row]),
            Some(invoice) if invoice[0].customer == row.customer => invoice.push(row),
            Some(_) => {
                let problem = format!("invoice {} belongs to more than one customer", row.invoice);
                return Err(BadRow::new(row.number, problem));
            }
        }
    }
    Ok(invoices)
}

struct Builder {
    plan: Plan,
    guest: CustomerId,
    facts: Vec<ProductFacts>,
    product_places: HashMap<Sku, usize>,
    customer_places: HashMap<CustomerId, usize>,
    open_lines: OpenLines,
}

/// What the rows met so far say of a product.
struct ProductFacts {
    sku: Sku,
    opening_units: i64,
    /// Row and pence of its first positive order price.
    price: Option<(u32, i64)>,
    /// How often each description stands in its order rows, and in which row first.
    names: HashMap<Arc<str>, (u32, u32)>,
}

impl Builder {
    fn new(opened_at: Timestamp) -> Self {
        let guest = CustomerId::new(GUEST).expect("letters are an id's alphabet");
        let mut builder = Self {
            plan: Plan { opened_at, ..Plan::default() },
            guest: guest.clone(),
            facts: Vec::new(),
            product_places: HashMap::new(),
            customer_places: HashMap::new(),
            open_lines: OpenLines::default(),
        };
        builder.customer(&guest, &"".into());
        builder
    }

    fn invoice(&mut self, rows: &[Row]) -> Result<(), BadRow> {
        let numbered = || (1..).zip(rows);
        match rows[0].document {
            Document::Sale if rows[0].customer.is_none() && rows.iter().all(|row| row.is_free) => {
                numbered().filter(|(_, row)| row.is_goods()).try_for_each(|(n, row)| self.correct(n, row))
            }
            Document::Sale => self.order(rows),
            Document::Cancellation => numbered().try_for_each(|(n, row)| {
                if row.is_goods() { self.take_back(n, row) } else { self.note(n, row) }
            }),
            Document::Adjustment => numbered().try_for_each(|(n, row)| self.note(n, row)),
        }
    }

    /// An order, one line per row; service rows are lines without stock.
    fn order(&mut self, rows: &[Row]) -> Result<(), BadRow> {
        let first = &rows[0];
        let id =
            OrderId::new(&first.invoice).map_err(|error| BadRow::new(first.number, error.to_string()))?;
        if let Some(customer) = &first.customer {
            let place = self.customer(customer, &first.country);
            let known = &mut self.plan.customers[place];
            if known.orders == 0 {
                known.country = first.country.clone();
            }
            known.orders += 1;
        }
        let mut lines = Vec::with_capacity(rows.len());
        for (number, row) in (1..).zip(rows) {
            let quantity =
                Quantity::new(row.quantity).ok().filter(|_| row.price_minor >= 0).ok_or_else(|| {
                    let problem =
                        format!("an order line with quantity {}, {} pence", row.quantity, row.price_minor);
                    BadRow::new(row.number, problem)
                })?;
            if row.is_goods() {
                self.sold(row);
                if let Some(customer) = &row.customer {
                    self.open_lines.add(customer, row, &id, number);
                }
            }
            lines.push(Line {
                sku: row.sku.clone(),
                kind: if row.is_goods() { LineKind::Goods } else { LineKind::Service },
                name: if row.description.is_empty() {
                    row.sku.as_str().into()
                } else {
                    row.description.clone()
                },
                quantity,
                price_minor: row.price_minor,
            });
        }
        let (customer, country, at) = (first.customer.clone(), first.country.clone(), first.at);
        self.plan.orders.push(Order { id, customer, country, at, lines });
        Ok(())
    }

    /// A correction by the quantity as signed; what it takes away was there at the opening.
    fn correct(&mut self, number: u32, row: &Row) -> Result<(), BadRow> {
        if row.quantity == 0 {
            return Err(BadRow::new(row.number, "a stock correction of 0 units"));
        }
        self.product(&row.sku).opening_units += (-row.quantity).max(0);
        let reason = if row.description.is_empty() { "unexplained".into() } else { row.description.clone() };
        self.plan.corrections.push(Adjustment {
            reference: reference(row, number, None)?,
            kind: AdjustmentKind::Correction,
            sku: row.sku.clone(),
            delta: row.quantity,
            reason,
            at: row.at,
        });
        Ok(())
    }

    /// A goods row of a cancellation: returns on the orders that explain it, the rest to stock and account.
    fn take_back(&mut self, number: u32, row: &Row) -> Result<(), BadRow> {
        if row.quantity >= 0 || row.price_minor < 0 {
            let problem = format!("a return with quantity {}, {} pence", row.quantity, row.price_minor);
            return Err(BadRow::new(row.number, problem));
        }
        self.product(&row.sku);
        let parts = self.open_lines.take_back(row);
        let rest = -row.quantity - parts.iter().map(|part| part.quantity).sum::<i64>();
        let is_split = parts.len() + usize::from(rest > 0) > 1;
        let mut references = (1..).map(|part| reference(row, number, is_split.then_some(part)));
        for (part, reference) in parts.into_iter().zip(&mut references) {
            self.give_back(row, part, reference?)?;
        }
        if let (1.., Some(reference)) = (rest, references.next()) {
            let reference = reference?;
            self.credit(row, &reference, CreditKind::ReturnWithoutOrder, rest * row.price_minor, None);
            self.plan.adjustments.push(Adjustment {
                reference,
                kind: AdjustmentKind::ReturnWithoutOrder,
                sku: row.sku.clone(),
                delta: rest,
                reason: "return without order".into(),
                at: row.at,
            });
        }
        Ok(())
    }

    /// Refunds a part at the row's own price but at most the order line's; what the row exceeds it by is credited.
    fn give_back(&mut self, row: &Row, part: Part, reference: Reference) -> Result<(), BadRow> {
        let excess = part.quantity * (row.price_minor - part.price_minor).max(0);
        if excess > 0 {
            self.credit(row, &reference, CreditKind::ReturnExcess, excess, Some(part.order_id.clone()));
        }
        self.plan.returns.push(OrderReturn {
            reference,
            order_id: part.order_id,
            line: part.line,
            quantity: Quantity::new(part.quantity)
                .map_err(|error| BadRow::new(row.number, error.to_string()))?,
            refund_minor: part.quantity * row.price_minor.min(part.price_minor),
            reason: row.description.clone(),
            at: row.at,
        });
        Ok(())
    }

    /// A credit note: −quantity × price.
    fn note(&mut self, number: u32, row: &Row) -> Result<(), BadRow> {
        let reference = reference(row, number, None)?;
        self.credit(row, &reference, CreditKind::Note, -row.worth_minor(), None);
        Ok(())
    }

    fn credit(
        &mut self,
        row: &Row,
        reference: &Reference,
        kind: CreditKind,
        amount_minor: i64,
        order_id: Option<OrderId>,
    ) {
        let account = row.customer.clone().unwrap_or_else(|| self.guest.clone());
        self.customer(&account, &row.country);
        let (reference, reason, at) = (reference.clone(), row.description.clone(), row.at);
        self.plan.credits.push(Credit { reference, account, kind, amount_minor, order_id, reason, at });
    }

    /// What an order row says of its product.
    fn sold(&mut self, row: &Row) {
        let facts = self.product(&row.sku);
        facts.opening_units += row.quantity;
        if row.price_minor > 0 && facts.price.is_none_or(|(first, _)| row.number < first) {
            facts.price = Some((row.number, row.price_minor));
        }
        if !row.description.is_empty() {
            let (count, first) = facts.names.entry(row.description.clone()).or_insert((0, row.number));
            *count += 1;
            *first = row.number.min(*first);
        }
    }

    fn product(&mut self, sku: &Sku) -> &mut ProductFacts {
        let place = *self.product_places.entry(sku.clone()).or_insert(self.facts.len());
        if place == self.facts.len() {
            let (sku, names) = (sku.clone(), HashMap::new());
            self.facts.push(ProductFacts { sku, opening_units: 0, price: None, names });
        }
        &mut self.facts[place]
    }

    /// The place of a customer in the plan; a new one is added.
    fn customer(&mut self, id: &CustomerId, country: &Arc<str>) -> usize {
        let customers = &mut self.plan.customers;
        let place = *self.customer_places.entry(id.clone()).or_insert(customers.len());
        if place == customers.len() {
            customers.push(Customer { id: id.clone(), country: country.clone(), orders: 0 });
        }
        place
    }

    fn finish(mut self) -> Plan {
        self.plan.products = self.facts.into_iter().map(Product::from).collect();
        self.plan
    }
}

impl From<ProductFacts> for Product {
    fn from(facts: ProductFacts) -> Self {
        // The most frequent name; among equals the one that stands first.
        let name = facts.names.into_iter().max_by_key(|(_, (count, first))| (*count, u32::MAX - first));
        Self {
            name: name.map_or_else(|| facts.sku.as_str().into(), |(name, _)| name),
            sku: facts.sku,
            list_price_minor: facts.price.map_or(0, |(_, price)| price),
            opening_units: facts.opening_units,
        }
    }
}

/// `<invoice>/<row>`, and a part where the row splits.
fn reference(row: &Row, number: u32, part: Option<u32>) -> Result<Reference, BadRow> {
    match part {
        None => Reference::row(&row.invoice, number),
        Some(part) => Reference::part(&row.invoice, number, part),
    }
    .map_err(|error| BadRow::new(row.number, error.to_string()))
}
