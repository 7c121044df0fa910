//! What clients want, at random from a seed.

use std::collections::HashMap;

use fastrand::Rng;
use schemas::{Command, CommandId, OrderId, Principal, StreamId, Version};
use serde_json::{Value, json};

use super::LoadConfig;
use super::operation::Operation;

/// Reservations are made for so many order lines, which clients fight over.
const HELD_ORDERS: u32 = 60;
const HELD_LINES: u32 = 3;
/// Documents that stock is corrected and received under; a deed under a known one is a no-op, or refused.
const DOCUMENTS: u32 = 200;
/// Units of each of the goods at the beginning.
const OPENING_UNITS: u32 = 100;

/// One client's wishes.
#[derive(Debug)]
pub(super) struct Wishes {
    pub(super) random: Rng,
    prefix: String,
    goods: u32,
    orders_percent: u8,
}

impl Wishes {
    pub(super) fn new(config: &LoadConfig, client: u32) -> Self {
        Self {
            // Every client has a sequence of its own.
            random: Rng::with_seed(config.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(client)),
            prefix: config.prefix.clone(),
            goods: config.goods.max(1),
            orders_percent: config.orders_percent,
        }
    }

    /// Puts the goods up for sale.
    pub(super) fn opening(config: &LoadConfig) -> Vec<Operation> {
        let mut wishes = Self::new(config, 0);
        let mut all = Vec::new();
        for number in 0..wishes.goods {
            let sku = wishes.sku(number);
            let price = json!({"price": {"amount_minor": 250, "currency": "GBP"}});
            all.push(wishes.plain("product", &sku, "draft", json!({"name": format!("Goods {number}")})));
            all.push(wishes.plain("product", &sku, "price", price));
            all.push(wishes.plain("product", &sku, "publish", json!({})));
            all.push(wishes.plain("stock", &sku, "receive", json!({"quantity": OPENING_UNITS})));
        }
        all
    }

    /// The next wish; now and then it states the version that the client has `seen` last.
    pub(super) fn next(&mut self, seen: &HashMap<StreamId, Version>) -> Operation {
        if self.random.u8(0..100) < self.orders_percent {
            return self.order();
        }
        let number = self.random.u32(0..self.goods);
        let sku = self.sku(number);
        let (aggregate, kind, data) = match self.random.u8(0..100) {
            0..20 => ("stock", "receive", self.receipt()),
            20..38 => ("stock", "adjust", self.correction()),
            38..66 => ("stock", "reserve", self.reservation()),
            66..80 => ("stock", "release", self.release()),
            80..86 => {
                let threshold = self.random.u32(0..OPENING_UNITS);
                ("stock", "set_low_stock_threshold", json!({"threshold": threshold}))
            }
            86..91 => {
                let price = json!({"amount_minor": self.random.u32(1..5), "currency": "GBP"});
                ("product", "price", json!({"price": price}))
            }
            91..96 => {
                ("product", "describe", json!({"name": format!("Goods {number}.{}", self.random.u8(0..3))}))
            }
            _ => ("product", "publish", json!({})),
        };
        let command = command(aggregate, &sku, kind, data);
        let states_a_version = self.random.u8(0..100) < 20;
        let expected = seen.get(&command.stream()).copied().filter(|_| states_a_version);
        Operation::command(self.command_id(), principal(kind), expected, &command)
    }

    /// Another wish under the id of `operation`, where such a one is easily made.
    pub(super) fn another_under_its_id(&mut self, operation: &Operation) -> Option<Operation> {
        let wish = &operation.wish;
        (wish.kind == "receive").then(|| {
            let data = json!({"quantity": self.random.u32(1_000..2_000)});
            let command = command("stock", wish.stream.id(), "receive", data);
            Operation::command(operation.command_id, wish.principal.clone(), None, &command)
        })
    }

    fn order(&mut self) -> Operation {
        let command_id = self.command_id();
        let id = format!("{}-{}", self.prefix, command_id.as_uuid().simple());
        let lines: Vec<_> = (0..self.random.u32(1..=2))
            .map(|_| {
                let number = self.random.u32(0..self.goods);
                json!({"sku": self.sku(number), "quantity": self.random.u32(1..=3)})
            })
            .collect();
        let method = if self.random.u8(0..100) < 20 { "sandbox:decline" } else { "sandbox" };
        let body = json!({"id": id, "country": "United Kingdom", "payment_method": method, "lines": lines});
        let id = OrderId::new(&id).expect("a prefix of letters and hex digits are an id");
        Operation::order(command_id, &id, body)
    }

    fn receipt(&mut self) -> Value {
        let quantity = self.random.u32(1..=4);
        match self.random.bool() {
            true => json!({"quantity": quantity}),
            false => json!({"quantity": quantity, "reference": self.document("receipt")}),
        }
    }

    fn correction(&mut self) -> Value {
        let delta = if self.random.bool() { self.random.i32(1..=4) } else { self.random.i32(-4..=-1) };
        json!({"delta": delta, "kind": "correction", "reason": "counted", "reference": self.document("count")})
    }

    fn reservation(&mut self) -> Value {
        let mut data = self.release();
        data["quantity"] = json!(self.random.u32(1..=3));
        data
    }

    fn release(&mut self) -> Value {
        let order = format!("{}-held-{}", self.prefix, self.random.u32(0..HELD_ORDERS));
        json!({"order_id": order, "line": self.random.u32(1..=HELD_LINES)})
    }

    fn document(&mut self, kind: &str) -> String {
        format!("{}-{kind}-{}", self.prefix, self.random.u32(0..DOCUMENTS))
    }

    fn plain(&mut self, aggregate: &str, id: &str, kind: &str, data: Value) -> Operation {
        Operation::command(self.command_id(), principal(kind), None, &command(aggregate, id, kind, data))
    }

    fn sku(&self, number: u32) -> String {
        format!("{}-{number}", self.prefix)
    }

    /// A random id: the platform derives no such one.
    fn command_id(&mut self) -> CommandId {
        let bytes = self.random.u128(..).to_be_bytes();
        CommandId::new(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

/// Promises are the process managers' to make and take back: whoever asks for them poses as one.
fn principal(kind: &str) -> Principal {
    let name = if matches!(kind, "reserve" | "release") { "process:load" } else { "load" };
    Principal::new(name).expect("letters and a colon are of an id's alphabet")
}

fn command(aggregate: &str, id: &str, kind: &str, data: Value) -> Command {
    let command = json!({"aggregate": aggregate, "id": id, "type": kind, "data": data});
    serde_json::from_value(command).expect("the commands above are well-formed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_follow_from_the_seed_and_the_client() {
        let some = |seed, client| {
            let config = LoadConfig { seed, ..LoadConfig::default() };
            let mut wishes = Wishes::new(&config, client);
            (0..500).map(|_| format!("{:?}", wishes.next(&HashMap::new()))).collect::<Vec<_>>()
        };
        assert_eq!(some(1, 1), some(1, 1));
        assert_ne!(some(1, 1), some(1, 2));
        assert_ne!(some(1, 1), some(2, 1));
    }

    #[test]
    fn all_kinds_of_wishes_come_up_and_no_id_twice() {
        let mut wishes = Wishes::new(&LoadConfig::default(), 1);
        let all: Vec<_> = (0..1_000).map(|_| wishes.next(&HashMap::new())).collect();
        let kinds: std::collections::BTreeSet<_> =
            all.iter().map(|operation| &*operation.wish.kind).collect();
        let known = [
            "adjust",
            "describe",
            "place",
            "price",
            "publish",
            "receive",
            "release",
            "reserve",
            "set_low_stock_threshold",
        ];
        assert_eq!(kinds, known.into());
        let ids: std::collections::BTreeSet<_> = all.iter().map(|operation| operation.command_id).collect();
        assert_eq!(ids.len(), all.len());
        let receipt = all.iter().find(|operation| operation.wish.kind == "receive").unwrap();
        let other = wishes.another_under_its_id(receipt).unwrap();
        assert_eq!((other.command_id, &other.wish.stream), (receipt.command_id, &receipt.wish.stream));
        assert_ne!(other.wish.hash, receipt.wish.hash);
    }
}
