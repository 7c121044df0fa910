//! What a plan says, as commands with ids that a repeated import gives again.

use std::sync::Arc;

use schemas::customer::{CreditAccount, CustomerCommand, CustomerProfile};
use schemas::order::{OrderCommand, OrderLine, PlaceOrder, ReturnOrderLine};
use schemas::product::{ProductCommand, ProductDescription, PublishProduct, SetPrice, TaxClass};
use schemas::stock::{AdjustStock, ReceiveStock, StockCommand};
use schemas::{
    Command, CommandEnvelope, CommandId, Currency, Money, OrderId, Principal, Quantity, Reference, Timestamp,
};

use super::plan::{Adjustment, Credit, Customer, Line, Order, OrderReturn, Plan, Product};

/// The reference under which a SKU's opening stock is received.
const OPENING_REFERENCE: &str = "opening/1";

/// One command of the import.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    deed: Deed<'a>,
    at: Timestamp,
}

#[derive(Clone, Copy)]
enum Deed<'a> {
    Draft(&'a Product),
    Price(&'a Product),
    Publish(&'a Product),
    Register(&'a Customer),
    Receive(&'a Product, Quantity),
    Place(&'a Order),
    Adjust(&'a Adjustment),
    Return(&'a OrderReturn),
    Credit(&'a Credit),
}

impl Plan {
    /// Products, customers and opening stock. Each product's own steps stand in their order.
    pub(super) fn opening_steps(&self) -> Vec<Step<'_>> {
        let at = |deed| Step { deed, at: self.opened_at };
        let mut steps = Vec::with_capacity(self.products.len() * 4 + self.customers.len());
        for deed in [Deed::Draft as fn(_) -> _, Deed::Price, Deed::Publish] {
            steps.extend(self.products.iter().map(|product| at(deed(product))));
        }
        steps.extend(self.customers.iter().map(|customer| at(Deed::Register(customer))));
        steps.extend(self.products.iter().filter_map(|product| {
            // Nothing leaves: there is nothing to receive.
            let quantity = Quantity::new(product.opening_units).ok()?;
            Some(at(Deed::Receive(product, quantity)))
        }));
        steps
    }

    /// Orders and stock corrections; the opening covers what both take, so neither waits for the other.
    pub(super) fn trading_steps(&self) -> Vec<Step<'_>> {
        let orders = self.orders.iter().map(|order| Step { deed: Deed::Place(order), at: order.at });
        orders.chain(self.corrections.iter().map(adjust)).collect()
    }

    /// Returns and credits; an order has to be delivered before something of it can come back.
    pub(super) fn closing_steps(&self) -> Vec<Step<'_>> {
        let returns = self.returns.iter().map(|part| Step { deed: Deed::Return(part), at: part.at });
        let credits = self.credits.iter().map(|credit| Step { deed: Deed::Credit(credit), at: credit.at });
        returns.chain(self.adjustments.iter().map(adjust)).chain(credits).collect()
    }
}

fn adjust(adjustment: &Adjustment) -> Step<'_> {
    Step { deed: Deed::Adjust(adjustment), at: adjustment.at }
}

impl<'a> Step<'a> {
    /// What has to stay in sequence: a product's steps, a customer's orders. None: nothing has to.
    pub(super) fn sequence(&self) -> Option<&'a str> {
        match self.deed {
            Deed::Draft(product) | Deed::Price(product) | Deed::Publish(product) => {
                Some(product.sku.as_str())
            }
            Deed::Place(order) => order.customer.as_ref().map(|customer| customer.as_str()),
            _ => None,
        }
    }

    /// The order that it places.
    pub(super) fn placed_order(&self) -> Option<&'a OrderId> {
        match self.deed {
            Deed::Place(order) => Some(&order.id),
            _ => None,
        }
    }

    /// How many lines it carries, which is what makes a command long.
    pub(super) fn lines(&self) -> usize {
        match self.deed {
            Deed::Place(order) => order.lines.len(),
            _ => 1,
        }
    }

    /// The command with its id and time.
    pub(super) fn envelope(&self, principal: &Principal) -> CommandEnvelope {
        let id = CommandId::from_idempotency_key(principal, &self.key());
        CommandEnvelope {
            occurred_at: Some(self.at),
            ..CommandEnvelope::new(id, principal.clone(), self.command())
        }
    }

    /// The idempotency key: what is done, and to what.
    pub(super) fn key(&self) -> String {
        let (what, reference) = match self.deed {
            Deed::Draft(product) => ("draft", product.sku.as_str()),
            Deed::Price(product) => ("price", product.sku.as_str()),
            Deed::Publish(product) => ("publish", product.sku.as_str()),
            Deed::Register(customer) => ("register", customer.id.as_str()),
            Deed::Receive(product, _) => ("opening", product.sku.as_str()),
            Deed::Place(order) => ("order", order.id.as_str()),
            Deed::Adjust(adjustment) => ("adjustment", adjustment.reference.as_str()),
            Deed::Return(part) => ("return", part.reference.as_str()),
            Deed::Credit(credit) => ("credit", credit.reference.as_str()),
        };
        format!("online-retail/{what}/{reference}")
    }

    fn command(&self) -> Command {
        match self.deed {
            Deed::Draft(product) => of_product(product, ProductCommand::Draft(description(&product.name))),
            Deed::Price(product) => of_product(
                product,
                ProductCommand::Price(SetPrice { price: pence(product.list_price_minor) }),
            ),
            Deed::Publish(product) => of_product(product, ProductCommand::Publish(PublishProduct {})),
            Deed::Register(customer) => {
                let profile =
                    CustomerProfile { country: customer.country.to_string(), ..CustomerProfile::default() };
                Command::Customer { id: customer.id.clone(), body: CustomerCommand::Register(profile) }
            }
            Deed::Receive(product, quantity) => {
                let reference: Reference = OPENING_REFERENCE.parse().expect("a document and a row");
                let body = StockCommand::Receive(ReceiveStock { quantity, reference: Some(reference) });
                Command::Stock { id: product.sku.clone(), body }
            }
            Deed::Place(order) => {
                Command::Order { id: order.id.clone(), body: OrderCommand::Place(place(order)) }
            }
            Deed::Adjust(adjustment) => {
                let body = StockCommand::Adjust(AdjustStock {
                    delta: adjustment.delta,
                    kind: adjustment.kind,
                    reason: adjustment.reason.to_string(),
                    reference: adjustment.reference.clone(),
                });
                Command::Stock { id: adjustment.sku.clone(), body }
            }
            Deed::Return(part) => {
                let body = OrderCommand::Return(ReturnOrderLine {
                    reference: part.reference.clone(),
                    line: part.line,
                    quantity: part.quantity,
                    refund: pence(part.refund_minor),
                    restock: true,
                    reason: part.reason.to_string(),
                });
                Command::Order { id: part.order_id.clone(), body }
            }
            Deed::Credit(credit) => {
                let body = CustomerCommand::Credit(CreditAccount {
                    reference: credit.reference.clone(),
                    amount: pence(credit.amount_minor),
                    kind: credit.kind,
                    order_id: credit.order_id.clone(),
                    reason: credit.reason.to_string(),
                });
                Command::Customer { id: credit.account.clone(), body }
            }
        }
    }
}

fn of_product(product: &Product, body: ProductCommand) -> Command {
    Command::Product { id: product.sku.clone(), body }
}

fn description(name: &Arc<str>) -> ProductDescription {
    ProductDescription { name: name.to_string(), ..ProductDescription::default() }
}

fn place(order: &Order) -> PlaceOrder {
    PlaceOrder {
        customer_id: order.customer.clone(),
        email: None,
        channel: "import".to_owned(),
        country: order.country.to_string(),
        currency: Currency::GBP,
        lines: (1..).zip(&order.lines).map(|(number, line)| order_line(number, line)).collect(),
        shipping_address: None,
        payment_method: "sandbox".to_owned(),
    }
}

fn order_line(number: u32, line: &Line) -> OrderLine {
    OrderLine {
        line: number,
        sku: line.sku.clone(),
        kind: line.kind,
        name: line.name.to_string(),
        quantity: line.quantity,
        unit_price: pence(line.price_minor),
        discount: pence(0),
        tax_class: TaxClass::Standard,
        tax: pence(0),
        total: pence(line.quantity.get() * line.price_minor),
    }
}

fn pence(amount_minor: i64) -> Money {
    Money::new(amount_minor, Currency::GBP)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::import::{csv, plan};

    const FILE: &str = "\
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
1,A,CUP,3,2011-07-01 08:00:00,1.25,7.0,EIRE
1,POST,,1,2011-07-01 08:00:00,2.00,7.0,EIRE
2,A,lost,-1,2011-07-01 09:00:00,0,,EIRE
C3,A,CUP,-4,2011-07-02 09:00:00,1.50,7.0,EIRE
";

    fn planned() -> Plan {
        plan::plan(csv::read(FILE.as_bytes(), None).unwrap()).unwrap()
    }

    fn importer() -> Principal {
        Principal::new("importer").unwrap()
    }

    #[test]
    fn every_step_has_an_id_of_its_own_that_a_repeated_import_gives_again() {
        let ids = |plan: &Plan| -> Vec<CommandId> {
            let steps = [plan.opening_steps(), plan.trading_steps(), plan.closing_steps()].concat();
            steps.iter().map(|step| step.envelope(&importer()).command_id).collect()
        };
        let first = ids(&planned());
        assert_eq!(
            first.len(),
            3 + 2 + 1 + 2 + 4,
            "3 of a product, 2 customers, opening, 2 trading, 4 closing"
        );
        assert_eq!(first.iter().collect::<HashSet<_>>().len(), first.len());
        assert_eq!(first, ids(&planned()));
    }

    #[test]
    fn an_order_states_its_rows_prices_and_time() {
        let plan = planned();
        let envelope = plan.trading_steps()[0].envelope(&importer());
        assert_eq!(envelope.occurred_at.unwrap().to_string(), "2011-07-01T07:00:00.000Z");
        let mut line = Vec::new();
        command_client::wire::write_line(&envelope, &mut line);
        let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(line["aggregate"], "order");
        assert_eq!((&line["id"], &line["type"]), (&"1".into(), &"place".into()));
        let data = &line["data"];
        assert_eq!((&data["channel"], &data["country"]), (&"import".into(), &"EIRE".into()));
        let lines = data["lines"].as_array().unwrap();
        assert_eq!((&lines[0]["kind"], &lines[0]["total"]["amount_minor"]), (&"goods".into(), &375.into()));
        assert_eq!((&lines[1]["kind"], &lines[1]["name"]), (&"service".into(), &"POST".into()));
    }

    #[test]
    fn what_a_return_exceeds_its_order_by_is_credited_under_its_reference() {
        let plan = planned();
        let said: Vec<String> = plan.closing_steps().iter().map(Step::key).collect();
        let expected = ["return/C3/1/1", "adjustment/C3/1/2", "credit/C3/1/1", "credit/C3/1/2"];
        assert_eq!(said, expected.map(|key| format!("online-retail/{key}")));
    }
}
