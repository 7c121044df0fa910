//! Receives as lines of the bulk route.

use benches::load::{BulkRequest, Keys, post};

use crate::receive::sku;

pub(crate) const NDJSON: &str = "application/x-ndjson";
pub(crate) const ROUTE: &str = "/v1/commands";

/// A request of so many receives of one unit each.
pub(crate) fn receives(keys: &mut Keys, lines: u64) -> BulkRequest {
    request((0..lines).map(|_| keys.next_index()), 1)
}

/// Requests that together receive `quantity` units of each of the SKUs 0 to `streams` - 1, made as they are asked for.
pub(crate) fn deliveries(streams: u64, quantity: u64, lines: u64) -> impl Iterator<Item = BulkRequest> {
    let step = lines.max(1);
    (0..streams.div_ceil(step))
        .map(move |part| request(part * step..((part + 1) * step).min(streams), quantity))
}

fn request(indices: impl Iterator<Item = u64>, quantity: u64) -> BulkRequest {
    let (mut body, mut lines) = (String::new(), 0);
    for index in indices {
        let sku = sku(index);
        body += &format!(
            "{{\"aggregate\":\"stock\",\"id\":\"{sku}\",\"type\":\"receive\",\"data\":{{\"quantity\":{quantity}}}}}\n"
        );
        lines += 1;
    }
    let mut bytes = Vec::new();
    post(&mut bytes, ROUTE, NDJSON, "", body.as_bytes());
    BulkRequest { bytes, lines }
}

#[cfg(test)]
mod tests {
    use schemas::Command;

    use super::*;

    #[test]
    fn deliveries_reach_every_sku_once() {
        let mut skus = Vec::new();
        for request in deliveries(10, 7, 4) {
            let text = String::from_utf8(request.bytes).unwrap();
            let (_, body) = text.split_once("\r\n\r\n").unwrap();
            assert_eq!(body.lines().count() as u64, request.lines);
            for line in body.lines() {
                let command: Command = serde_json::from_str(line).unwrap();
                skus.push(command.stream().id().to_owned());
            }
        }
        assert_eq!(skus, (0..10).map(sku).collect::<Vec<_>>());
    }
}
