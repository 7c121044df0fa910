//! The one-event command: goods arrive, one unit of one SKU.

use benches::load::{Keys, Requests, post};

/// A SKU of the load, `S0000000` to `S9999999`.
pub(crate) fn sku(index: u64) -> String {
    format!("S{index:07}")
}

/// `POST /v1/stock/{sku}/receive`, one unit each.
pub(crate) struct Receive {
    keys: Keys,
}

/// Where the digits of the SKU are in the request line.
const DIGITS: std::ops::Range<usize> = 16..23;

impl Receive {
    pub(crate) fn new(keys: Keys) -> Self {
        Self { keys }
    }
}

impl Requests for Receive {
    fn next(&mut self, buffer: &mut Vec<u8>) -> bool {
        if buffer.is_empty() {
            let path = format!("/v1/stock/{}/receive", sku(0));
            post(buffer, &path, "application/json", "", br#"{"quantity":1}"#);
        }
        // The rest of the request is always the same.
        let mut index = self.keys.next_index();
        for digit in buffer[DIGITS].iter_mut().rev() {
            *digit = b'0' + (index % 10) as u8;
            index /= 10;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_names_the_next_sku_and_is_otherwise_the_same() {
        let mut keys = Keys::uniform(10_000_000, 3);
        let mut receive = Receive::new(keys.clone());
        let mut buffer = Vec::new();
        for _ in 0..100 {
            assert!(receive.next(&mut buffer));
            let mut expected = Vec::new();
            let path = format!("/v1/stock/{}/receive", sku(keys.next_index()));
            post(&mut expected, &path, "application/json", "", br#"{"quantity":1}"#);
            assert_eq!(buffer, expected);
        }
    }
}
