//! Waiting until the shop has done what follows from the import, and reading what it then holds.

use std::time::{Duration, Instant};

use schemas::Positions;

use super::client::{Client, Failure, Totals};
use super::figures::Figures;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// How long nothing has to change where the shop holds more than the import and no figure is known to wait for.
const QUIET: Duration = Duration::from_secs(5);

/// Reads the totals until they are the expected ones.
///
/// Where they cannot get there (`is_complete` is false, or the shop holds other orders as well) the last totals are
/// returned once nothing changes any more; where they should but don't, after `stall_limit` without a change.
pub(super) async fn settled(
    client: &Client,
    expected: &Figures,
    seen: &Positions,
    is_complete: bool,
    stall_limit: Duration,
) -> Result<Totals, Failure> {
    let mut last: Option<Totals> = None;
    let mut changed_at = Instant::now();
    loop {
        match client.totals(seen).await {
            Ok(totals) if totals.figures == *expected => return Ok(totals),
            Ok(totals) => {
                if last != Some(totals) {
                    (last, changed_at) = (Some(totals), Instant::now());
                }
                let is_alone = totals.figures.orders <= expected.orders;
                let owes_refunds = totals.figures.refunds < totals.return_value;
                let is_worth_waiting = (is_complete && is_alone) || owes_refunds;
                if changed_at.elapsed() >= if is_worth_waiting { stall_limit } else { QUIET.min(stall_limit) }
                {
                    return Ok(totals);
                }
            }
            Err(failure) if failure.may_pass() && changed_at.elapsed() < stall_limit => {}
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
