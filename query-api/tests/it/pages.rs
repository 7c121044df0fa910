//! Lists: every item once, whatever the page size; limits and cursors are checked.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use projections::test_support::{Ending, Recorder, pounds};
use schemas::customer::CreditKind;
use schemas::{CustomerId, OrderId, Sku};

use crate::bed::{Bed, PARTITIONS};

fn shop() -> Recorder {
    let mut shop = Recorder::new(PARTITIONS);
    for n in 0..23 {
        let sku = Sku::new(format!("SKU {n}")).unwrap();
        let customer = CustomerId::new(format!("{}", 12_000 + n)).unwrap();
        shop.product(&sku, "thing", pounds(100));
        shop.receive(&sku, 10);
        shop.customer(&customer, "A. Buyer");
        let buyer = CustomerId::new(if n % 2 == 0 { "12000" } else { "12001" }).unwrap();
        shop.order(&OrderId::new(format!("order {n}")).unwrap(), Some(&buyer), &[(&sku, 1)], Ending::Placed);
        let credited = CustomerId::new("12000").unwrap();
        shop.credit(&credited, pounds(1), pounds(n + 1), CreditKind::Note, &format!("A{n}/1"));
    }
    shop
}

async fn all_pages(bed: &Bed, path: &str, limit: usize, member: &str) -> Vec<String> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let separator = if path.contains('?') { '&' } else { '?' };
        let page = bed.get(&format!("{path}{separator}limit={limit}&cursor={cursor}")).await;
        assert_eq!(page.status, StatusCode::OK, "{:?}", page.body);
        assert!(!page.header("millrace-position").is_empty());
        let found = page.body["items"].as_array().unwrap();
        assert!(found.len() <= limit);
        items.extend(found.iter().map(|item| item[member].as_str().unwrap().to_owned()));
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return items,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_cover_every_item_once() {
    let bed = Bed::with(&shop()).await;
    let lists = [
        ("/v1/products", "sku", 23),
        ("/v1/stock", "sku", 23),
        ("/v1/orders", "id", 23),
        ("/v1/orders?customer=12000", "id", 12),
        ("/v1/orders?customer=12001", "id", 11),
        ("/v1/orders?customer=nobody", "id", 0),
        ("/v1/customers", "id", 23),
        ("/v1/customers/12000/credits", "reference", 23),
    ];
    for (path, member, count) in lists {
        for limit in [1, 7, 11, 12, 23, 1_000] {
            let items = all_pages(&bed, path, limit, member).await;
            let distinct: BTreeSet<_> = items.iter().collect();
            assert_eq!((items.len(), distinct.len()), (count, count), "{path} by {limit}");
        }
    }
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_cursors_out_of_range_are_refused() {
    let bed = Bed::with(&Recorder::new(PARTITIONS)).await;
    let paths = [
        "/v1/products?limit=0",
        "/v1/stock?limit=1001",
        "/v1/orders?limit=1001&customer=x",
        "/v1/customers?cursor=nonsense",
        "/v1/streams/order/1?limit=1001",
    ];
    for path in paths {
        let answer = bed.get(path).await;
        assert_eq!((answer.status.as_u16(), &answer.body["code"]), (422, &"invalid_value".into()), "{path}");
    }
    for path in ["/v1/products?limit=many", "/v1/orders?custmer=12000", "/v1/reports/totals?form=2010-12-01"]
    {
        let answer = bed.get(path).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["code"]),
            (400, &"invalid_request".into()),
            "{path}"
        );
    }
    bed.close().await;
}
