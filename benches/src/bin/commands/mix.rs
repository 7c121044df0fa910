//! The checkout mix: whole orders, from placed to delivered, one command a request.
//!
//! The load plays the process managers' part: it sends what the checkout sends, in its order, as `process:bench` on the bulk
//! route (one line a request), for most of these commands have no route of their own. An order has two lines; with them it
//! takes 16 commands on five kinds of streams.

use std::fmt::Write as _;

use benches::load::{Keys, Requests, Verdict, post};

use crate::bulk_lines::{NDJSON, ROUTE};
use crate::receive::sku;

/// Units of stock that each SKU has at the start.
pub(crate) const STOCK: u64 = 1_000_000_000;

/// Says who asks.
const PRINCIPAL: &str = "millrace-principal: process:bench\r\n";

/// One command of an order, in the order in which the checkout sends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Place,
    Reserve(usize),
    MarkReserved,
    RequestPayment,
    Authorise,
    Confirm,
    CreateShipment,
    Dispatch,
    Ship(usize),
    MarkShipped,
    RequestCapture,
    Capture,
    Deliver,
    MarkDelivered,
}

pub(crate) const STEPS: [Step; 16] = [
    Step::Place,
    Step::Reserve(0),
    Step::Reserve(1),
    Step::MarkReserved,
    Step::RequestPayment,
    Step::Authorise,
    Step::Confirm,
    Step::CreateShipment,
    Step::Dispatch,
    Step::Ship(0),
    Step::Ship(1),
    Step::MarkShipped,
    Step::RequestCapture,
    Step::Capture,
    Step::Deliver,
    Step::MarkDelivered,
];

/// One order after the other.
pub(crate) struct Mix {
    keys: Keys,
    /// Makes the ids of its orders different from all others.
    name: String,
    number: u64,
    skus: [String; 2],
    step: usize,
    line: String,
}

impl Mix {
    /// Orders called `name-1`, `name-2`, … over the SKUs of `keys`.
    pub(crate) fn new(keys: Keys, name: String) -> Self {
        let mut mix = Self {
            keys,
            name,
            number: 0,
            skus: Default::default(),
            step: 0,
            line: String::with_capacity(1_024),
        };
        mix.next_order();
        mix
    }

    fn next_order(&mut self) {
        self.number += 1;
        self.step = 0;
        self.skus = [sku(self.keys.next_index()), sku(self.keys.next_index())];
    }

    /// Writes the command of the step as a line.
    fn write(&mut self) -> std::fmt::Result {
        let Self { name, number, skus: [first, second], step, line, .. } = self;
        line.clear();
        let order = format!("{name}-{number}");
        let skus = [&*first, &*second];
        let gbp = |pence: u32| format!(r#"{{"amount_minor":{pence},"currency":"GBP"}}"#);
        let (aggregate, id, kind, data) = match STEPS[*step] {
            Step::Place => {
                let lines = [1, 2].map(|line| {
                    format!(
                        r#"{{"line":{line},"sku":"{sku}","kind":"goods","name":"Thing","quantity":1,"unit_price":{price},"discount":{zero},"tax_class":"standard","tax":{zero},"total":{price}}}"#,
                        sku = skus[line - 1],
                        price = gbp(250),
                        zero = gbp(0),
                    )
                });
                let data = format!(
                    r#"{{"channel":"web","country":"United Kingdom","currency":"GBP","lines":[{}],"payment_method":"sandbox"}}"#,
                    lines.join(",")
                );
                ("order", order, "place", data)
            }
            Step::Reserve(line) => {
                let data = format!(r#"{{"order_id":"{order}","line":{},"quantity":1}}"#, line + 1);
                ("stock", skus[line].clone(), "reserve", data)
            }
            Step::MarkReserved => ("order", order, "mark_reserved", "{}".to_owned()),
            Step::RequestPayment => {
                let data = format!(r#"{{"order_id":"{order}","amount":{},"method":"sandbox"}}"#, gbp(500));
                ("payment", order, "request", data)
            }
            Step::Authorise => {
                let data = format!(r#"{{"amount":{},"provider_reference":"a-{order}"}}"#, gbp(500));
                ("payment", order, "record_authorised", data)
            }
            Step::Confirm => ("order", order, "confirm", "{}".to_owned()),
            Step::CreateShipment => {
                let goods = [1, 2]
                    .map(|line| format!(r#"{{"line":{line},"sku":"{}","quantity":1}}"#, skus[line - 1]));
                let goods = goods.join(",");
                let data = format!(r#"{{"order_id":"{order}","goods":[{goods}],"carrier":"sandbox"}}"#);
                ("shipment", format!("{order}-1"), "create", data)
            }
            Step::Dispatch => (
                "shipment",
                format!("{order}-1"),
                "dispatch",
                format!(r#"{{"tracking_number":"t-{order}"}}"#),
            ),
            Step::Ship(line) => {
                let data =
                    format!(r#"{{"order_id":"{order}","line":{},"shipment_id":"{order}-1"}}"#, line + 1);
                ("stock", skus[line].clone(), "ship", data)
            }
            Step::MarkShipped => {
                let data = format!(r#"{{"shipment_id":"{order}-1"}}"#);
                ("order", order, "mark_shipped", data)
            }
            Step::RequestCapture => {
                let data = format!(r#"{{"reference":"{order}/1"}}"#);
                ("payment", order, "request_capture", data)
            }
            Step::Capture => {
                let data = format!(r#"{{"reference":"{order}/1","provider_reference":"c-{order}"}}"#);
                ("payment", order, "record_captured", data)
            }
            Step::Deliver => ("shipment", format!("{order}-1"), "deliver", "{}".to_owned()),
            Step::MarkDelivered => ("order", order, "mark_delivered", "{}".to_owned()),
        };
        writeln!(line, r#"{{"aggregate":"{aggregate}","id":"{id}","type":"{kind}","data":{data}}}"#)
    }
}

impl Requests for Mix {
    fn next(&mut self, buffer: &mut Vec<u8>) -> bool {
        self.write().expect("a string takes everything");
        post(buffer, ROUTE, NDJSON, PRINCIPAL, self.line.as_bytes());
        true
    }

    fn judge(&mut self, status: u16, body: &[u8]) -> Verdict {
        let says = |text: &[u8]| memchr::memmem::find(body, text).is_some();
        if status == 200 && says(br#""outcome":"accepted""#) {
            self.step += 1;
            if self.step == STEPS.len() {
                self.next_order();
            }
            Verdict::Accepted
        } else if matches!(status, 429 | 503) || says(br#""code":"overloaded""#) {
            // The same step again: nothing was done.
            Verdict::Refused
        } else {
            self.next_order();
            Verdict::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::Command;

    use super::*;

    fn command(mix: &mut Mix) -> Command {
        mix.write().unwrap();
        serde_json::from_str(&mix.line).unwrap_or_else(|error| panic!("{error}: {}", mix.line))
    }

    #[test]
    fn every_step_is_a_command_that_the_platform_knows() {
        let mut mix = Mix::new(Keys::uniform(10, 1), "o".to_owned());
        for step in 0..STEPS.len() {
            mix.step = step;
            let _ = command(&mut mix);
        }
    }

    #[test]
    fn a_step_is_repeated_when_refused_and_the_order_given_up_when_it_failed() {
        let mut mix = Mix::new(Keys::uniform(10, 1), "o".to_owned());
        let accepted = br#"{"line":1,"outcome":"accepted"}"#;
        assert_eq!(mix.judge(200, accepted), Verdict::Accepted);
        assert_eq!((mix.number, mix.step), (1, 1));
        assert_eq!(mix.judge(503, b""), Verdict::Refused);
        assert_eq!(mix.judge(200, br#"{"line":1,"problem":{"code":"overloaded"}}"#), Verdict::Refused);
        assert_eq!((mix.number, mix.step), (1, 1));
        assert_eq!(mix.judge(200, br#"{"line":1,"outcome":"rejected"}"#), Verdict::Failed);
        assert_eq!((mix.number, mix.step), (2, 0));
        for _ in STEPS {
            assert_eq!(mix.judge(200, accepted), Verdict::Accepted);
        }
        assert_eq!((mix.number, mix.step), (3, 0));
    }
}
