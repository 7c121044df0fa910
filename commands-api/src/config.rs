//! The API's limits and the shop's rules that it applies.

use schemas::product::TaxClass;
use schemas::{Currency, Principal};
use serde::{Deserialize, Serialize};

/// Limits and rules of the commands API. Unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CommandsApiConfig {
    /// Longest body of a request for one command, bytes. 1 MiB by default.
    pub body_bytes_max: usize,
    /// Requests for one command under way; more are answered "overloaded". 4,096 by default.
    pub requests_in_flight_max: usize,
    /// Products and stock levels that one request looks up at a time. 64 by default.
    pub lookups_in_flight_max: usize,
    /// Bulk requests under way; more are answered "overloaded". 64 by default.
    pub bulk_requests_max: usize,
    /// Commands of one bulk request that are decided at a time; further lines are read when one is answered. 1,024 by
    /// default.
    pub bulk_in_flight_max: usize,
    /// Longest line of a bulk request, bytes. 1 MiB by default.
    pub bulk_line_bytes_max: usize,
    /// How long a bulk line waits for an overloaded shard before it is answered so, milliseconds. 60,000 by default.
    pub bulk_overload_wait_ms: u64,
    /// How long a command waits while its shard changes hands, milliseconds; then it is answered "shard unavailable". Longer
    /// than a takeover takes (`kafka_log.session_timeout_ms` and what follows). 15,000 by default.
    pub handover_wait_ms: u64,
    /// Largest body that a node takes from another one, bytes. 16 MiB by default.
    pub peer_body_bytes_max: usize,
    /// Who may state prices and past times. `importer` by default.
    pub import_principals: Vec<Principal>,
    /// Currency of orders and carts that name none. GBP by default.
    pub default_currency: Currency,
    /// Tax rates by class.
    pub tax: TaxRates,
}

impl Default for CommandsApiConfig {
    fn default() -> Self {
        Self {
            body_bytes_max: 1 << 20,
            requests_in_flight_max: 4_096,
            lookups_in_flight_max: 64,
            bulk_requests_max: 64,
            bulk_in_flight_max: 1_024,
            bulk_line_bytes_max: 1 << 20,
            bulk_overload_wait_ms: 60_000,
            handover_wait_ms: 15_000,
            peer_body_bytes_max: 16 << 20,
            import_principals: vec![Principal::new("importer").expect("letters are an id's alphabet")],
            default_currency: Currency::GBP,
            tax: TaxRates::default(),
        }
    }
}

/// The tax that prices include, by class, basis points (2,000 is 20 %). All 0 by default; the classes zero and exempt
/// always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaxRates {
    /// The usual rate, basis points.
    pub standard_basis_points: u32,
    /// The reduced rate, basis points.
    pub reduced_basis_points: u32,
}

impl TaxRates {
    /// The rate of a class, basis points.
    pub(crate) fn basis_points(&self, class: TaxClass) -> u32 {
        match class {
            TaxClass::Standard => self.standard_basis_points,
            TaxClass::Reduced => self.reduced_basis_points,
            TaxClass::Zero | TaxClass::Exempt => 0,
        }
    }
}
