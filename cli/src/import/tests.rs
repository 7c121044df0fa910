//! The import against a shop made of paper: over real HTTP, with refusing lines, cut answers and slow deliveries.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use schemas::ErrorCode;
use serde_json::{Value, json};
use service_kit::Problem;

use super::figures::Figures;
use super::*;
use crate::report::explain;

/// Two customers with several orders each, a guest, a correction, a split return and a credit note.
const FILE: &str = "\
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
1,A,CUP,3,2011-07-01 08:00:00,1.25,7.0,EIRE
1,POST,,1,2011-07-01 08:00:00,2.00,7.0,EIRE
2,A,CUP,2,2011-07-01 08:30:00,1.25,7.0,EIRE
3,P,PLATE,2,2011-07-01 08:30:00,3.00,8.0,Spain
4,P,PLATE,1,2011-07-01 08:30:00,3.00,,Spain
5,A,lost,-1,2011-07-01 09:00:00,0,,EIRE
6,A,CUP,1,2011-07-01 10:00:00,1.25,7.0,EIRE
7,P,PLATE,1,2011-07-01 10:00:00,3.00,8.0,Spain
C8,A,CUP,-7,2011-07-02 09:00:00,1.50,7.0,EIRE
C9,D,Discount,-1,2011-07-02 09:00:00,1.00,8.0,Spain
";

/// A shop that keeps what it is told, and no rules.
#[derive(Default)]
struct PaperShop {
    requests: usize,
    /// Commands by id: those done, and those whose first attempt was turned away.
    done: HashSet<String>,
    turned_away: HashSet<String>,
    /// `(aggregate, id, type, data)` of the commands done, in order.
    told: Vec<(String, String, String, Value)>,
    /// How often each order was asked after.
    asked: HashMap<String, usize>,
    open_orders: usize,
    open_orders_most: usize,
    /// An order that is never delivered.
    stuck: Option<&'static str>,
    /// An order or a product that a rule refuses.
    refused: Option<&'static str>,
}

type Shared = Arc<Mutex<PaperShop>>;

impl PaperShop {
    /// Every other command is turned away once; the rest is done. A command done before is known.
    fn answer(&mut self, number: usize, line: &Value) -> Value {
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        let (command, id) = (text("command_id"), text("id"));
        if self.refused == Some(&id) {
            let problem = Problem::of(ErrorCode::OrderTooLong).detail("too long for this paper");
            return json!({"line": number, "outcome": "rejected", "problem": problem});
        }
        if self.turned_away.len() <= self.done.len() && self.turned_away.insert(command.clone()) {
            return json!({"line": number, "problem": Problem::of(ErrorCode::NotWritten)});
        }
        let is_new = self.done.insert(command.clone());
        if is_new {
            if text("type") == "place" {
                self.open_orders += 1;
                self.open_orders_most = self.open_orders_most.max(self.open_orders);
            }
            self.told.push((text("aggregate"), id, text("type"), line["data"].clone()));
        }
        json!({"line": number, "command_id": command, "outcome": "accepted", "version": 1, "events": 1,
            "position": format!("m.x.events/0@{}", self.told.len()), "replayed": !is_new})
    }

    fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        let amount = |value: &Value| value["amount_minor"].as_i64().unwrap();
        let is_first = |reference: &Value| {
            i64::from(reference.as_str().unwrap().parse::<schemas::Reference>().unwrap().is_first_part())
        };
        let mut customers = HashSet::new();
        for (_, _, kind, data) in &self.told {
            match kind.as_str() {
                "draft" => figures.skus += 1,
                "receive" => figures.opening_units += data["quantity"].as_i64().unwrap(),
                "place" => {
                    figures.orders += 1;
                    figures.guest_orders += i64::from(data["customer_id"].is_null());
                    customers.extend(data["customer_id"].as_str().map(str::to_owned));
                    for line in data["lines"].as_array().unwrap() {
                        figures.order_lines += 1;
                        figures.gross += amount(&line["total"]);
                        if line["kind"] == "goods" {
                            figures.on_hand_units -= line["quantity"].as_i64().unwrap();
                        }
                    }
                }
                "adjust" => {
                    figures.on_hand_units += data["delta"].as_i64().unwrap();
                    match data["kind"].as_str().unwrap() {
                        "correction" => figures.correction_lines += 1,
                        _ => figures.return_rows += is_first(&data["reference"]),
                    }
                }
                "return" => {
                    figures.return_rows += is_first(&data["reference"]);
                    figures.refunds += amount(&data["refund"]);
                    figures.on_hand_units += data["quantity"].as_i64().unwrap();
                }
                "credit" => {
                    figures.credits += amount(&data["amount"]);
                    figures.credit_rows += i64::from(data["kind"] == "note");
                }
                _ => {}
            }
        }
        figures.customers = i64::try_from(customers.len()).unwrap();
        figures.net = figures.gross - figures.refunds - figures.credits;
        figures.on_hand_units += figures.opening_units;
        figures
    }
}

/// Every third answer breaks off in the middle; what it was about is done all the same.
async fn commands(State(shop): State<Shared>, body: String) -> String {
    let mut shop = shop.lock().unwrap();
    shop.requests += 1;
    let lines = (1..).zip(body.lines());
    let answers: Vec<String> = lines
        .map(|(number, line)| shop.answer(number, &serde_json::from_str(line).unwrap()).to_string())
        .collect();
    let told = if shop.requests.is_multiple_of(3) { answers.len() / 2 } else { answers.len() };
    answers[..told].iter().map(|answer| format!("{answer}\n")).collect()
}

/// Not known at the first question, placed at the second, delivered from the third on.
async fn order(State(shop): State<Shared>, Path(id): Path<String>) -> Response {
    let mut shop = shop.lock().unwrap();
    let asked = shop.asked.entry(id.clone()).or_default();
    *asked += 1;
    let asked = *asked;
    match asked {
        1 => Problem::of(ErrorCode::NotFound).into_response(),
        2.. if shop.stuck == Some(&id) => Json(json!({"id": id, "status": "placed"})).into_response(),
        2 => Json(json!({"id": id, "status": "placed", "cancel": null})).into_response(),
        _ => {
            if asked == 3 {
                shop.open_orders -= 1;
            }
            Json(json!({"id": id, "status": "delivered", "cancel": null})).into_response()
        }
    }
}

async fn totals(State(shop): State<Shared>) -> Json<Value> {
    let mut totals = serde_json::to_value(shop.lock().unwrap().figures()).unwrap();
    totals["currency"] = "GBP".into();
    Json(totals)
}

async fn open(shop: PaperShop) -> (Shared, String) {
    let shop = Arc::new(Mutex::new(shop));
    let router = Router::new()
        .route("/health/ready", get(|| async { StatusCode::OK }))
        .route("/v1/commands", post(commands))
        .route("/v1/orders/{id}", get(order))
        .route("/v1/reports/totals", get(totals))
        .with_state(shop.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (shop, url)
}

fn limits(in_flight_max: usize, stall_limit_ms: u64) -> Limits {
    Limits { in_flight_max, stall_limit: Duration::from_millis(stall_limit_ms) }
}

#[tokio::test]
async fn every_command_is_done_once_though_lines_are_turned_away_and_answers_cut() {
    let plan = planned(FILE.as_bytes(), None).unwrap();
    let (shop, url) = open(PaperShop::default()).await;
    let summary = replay(&url, &plan, limits(2, 60_000)).await.unwrap();
    assert_eq!(summary.remarks(), Vec::<String>::new());
    assert!(summary.is_complete());
    assert_eq!(summary.figures, plan.figures());
    assert_eq!(summary.figures.orders, 6);
    let steps = plan.opening_steps().len() + plan.trading_steps().len() + plan.closing_steps().len();
    {
        let shop = shop.lock().unwrap();
        assert_eq!(shop.told.len(), steps);
        assert!(shop.open_orders_most <= 2, "{} orders were open", shop.open_orders_most);
        let of_customer = |customer: &str| -> Vec<&str> {
            let told = shop.told.iter().filter(|(_, _, _, data)| data["customer_id"] == customer);
            told.map(|(_, id, _, _)| id.as_str()).collect()
        };
        assert_eq!(of_customer("7"), ["1", "2", "6"], "each customer's own sequence");
        assert_eq!(of_customer("8"), ["3", "7"]);
        for sku in ["A", "P"] {
            let told = shop.told.iter().filter(|(aggregate, id, _, _)| aggregate == "product" && id == sku);
            let kinds: Vec<&str> = told.map(|(_, _, kind, _)| kind.as_str()).collect();
            assert_eq!(kinds, ["draft", "price", "publish"]);
        }
    }
    let again = replay(&url, &plan, limits(1_000, 60_000)).await.unwrap();
    assert_eq!((again.counts.new_commands, again.counts.new_events), (0, 0));
    assert_eq!(again.counts.known_commands, steps as u64);
    assert!(
        again.to_string().starts_with(&format!("Nothing new: {steps} commands already known.")),
        "{again}"
    );
    assert_eq!(shop.lock().unwrap().told.len(), steps);
}

#[tokio::test]
async fn an_order_that_gets_nowhere_is_named_with_what_to_do() {
    let plan = planned(FILE.as_bytes(), None).unwrap();
    let (_shop, url) = open(PaperShop { stuck: Some("3"), ..PaperShop::default() }).await;
    let error = replay(&url, &plan, limits(100, 300)).await.unwrap_err();
    let (text, _) = explain(&error);
    assert!(text.contains("of the orders placed 1 are neither delivered nor cancelled"), "{text}");
    assert!(
        text.contains("millrace events order/3") && text.contains("run the same command again"),
        "{text}"
    );
}

#[tokio::test]
async fn a_refused_order_is_listed_and_keeps_nothing_waiting() {
    let plan = planned(FILE.as_bytes(), None).unwrap();
    let (_shop, url) = open(PaperShop { refused: Some("3"), ..PaperShop::default() }).await;
    let summary = replay(&url, &plan, limits(1, 300)).await.unwrap();
    assert!(!summary.is_complete());
    let remarks = summary.remarks().join("\n");
    assert!(remarks.contains("online-retail/order/3: too long for this paper (order_too_long)"), "{remarks}");
    assert!(remarks.contains("  orders is 5, should be 6") && !remarks.contains("other data"), "{remarks}");
}

#[tokio::test]
async fn without_all_of_the_opening_no_order_is_sent() {
    let plan = planned(FILE.as_bytes(), None).unwrap();
    let (shop, url) = open(PaperShop { refused: Some("P"), ..PaperShop::default() }).await;
    let error = replay(&url, &plan, limits(1, 300)).await.unwrap_err();
    let (text, code) = explain(&error);
    assert_eq!(code, FAILED);
    assert!(text.contains("4 commands were refused:\n  online-retail/draft/P: too long"), "{text}");
    assert!(text.contains("hint: orders were not sent"), "{text}");
    assert!(shop.lock().unwrap().told.iter().all(|(aggregate, ..)| aggregate != "order"));
}

#[tokio::test]
async fn a_shop_that_is_not_there_is_told_with_a_hint() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = replay(&url, &planned(FILE.as_bytes(), None).unwrap(), limits(1, 300)).await.unwrap_err();
    let (text, _) = explain(&error);
    assert!(
        text.contains(&format!("no shop answers at {url}"))
            && text.contains("hint: start one with `millrace up`"),
        "{text}"
    );
}

#[test]
fn an_import_may_run_as_a_task() {
    fn may(_: &(impl Future + Send)) {}
    may(&replay_sample("http://127.0.0.1:1", b""));
}
