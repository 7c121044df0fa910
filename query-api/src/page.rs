//! Pages of a list: `limit`, an opaque `cursor`, `{items, next_cursor}`.

use bytes::Bytes;
use read_store::{PageCursor, Row, Table};
use serde::{Deserialize, Serialize};
use service_kit::Problem;
use utoipa::{IntoParams, ToSchema};

use crate::{QueryState, error};

/// Items of a page without `limit`.
const ITEMS_DEFAULT: usize = 100;
/// Most items of a page.
const ITEMS_MAX: usize = 1_000;
/// Most rows read from the store at once: a document may be large, a list's item is small.
const ROWS_MAX: usize = 100;

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to send as `cursor` for the next page; none: this was the last.
    pub next_cursor: Option<String>,
}

/// Which page.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// Most items, 1 to 1,000; 100 by default.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<u64>,
    /// `next_cursor` of the page before; the first page without.
    #[serde(default)]
    cursor: Option<String>,
}

impl PageQuery {
    pub(crate) fn new(limit: Option<u64>, cursor: Option<String>) -> Self {
        Self { limit, cursor }
    }

    /// How many items, within the limits.
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        let asked = self.limit.map_or(Some(ITEMS_DEFAULT), |limit| usize::try_from(limit).ok());
        asked
            .filter(|limit| (1..=ITEMS_MAX).contains(limit))
            .ok_or_else(|| error::invalid("limit", format!("limit is between 1 and {ITEMS_MAX}")))
    }

    /// Where the page begins.
    pub(crate) fn after(&self) -> Result<Option<PageCursor>, Problem> {
        let Some(text) = self.cursor.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
        let cursor = decode_cursor(text)
            .ok_or_else(|| error::invalid("cursor", "cursor is not the next_cursor of an earlier page"))?;
        Ok(Some(cursor))
    }
}

/// Reads a page of a whole table, in portions, turning each row into an item.
pub(crate) async fn table_page<T>(
    state: &QueryState,
    table: Table,
    query: &PageQuery,
    item: impl Fn(Row) -> Result<T, Problem>,
) -> Result<(Vec<T>, Option<String>), Problem> {
    let (limit, mut after) = (query.limit()?, query.after()?);
    let mut items = Vec::new();
    loop {
        let rows_max = ROWS_MAX.min(limit - items.len());
        let page = state.store.scan_table(table, after.as_ref(), rows_max).await.map_err(error::store)?;
        for row in page.rows {
            items.push(item(row)?);
        }
        after = page.next;
        if after.is_none() || items.len() >= limit {
            return Ok((items, after.as_ref().map(encode_cursor)));
        }
    }
}

/// Reads a page of the rows under one partition key.
pub(crate) async fn partition_page(
    state: &QueryState,
    table: Table,
    partition_key: &str,
    query: &PageQuery,
) -> Result<(Vec<Row>, Option<String>), Problem> {
    let limit = query.limit()?;
    let after = query.after()?.map(|cursor| cursor.sort_key);
    let from = after.as_deref().unwrap_or("");
    // One more for the row that the cursor names, one more to know whether there is a next page.
    let mut rows = state.store.scan(table, partition_key, from, limit + 2).await.map_err(error::store)?;
    if rows.first().is_some_and(|first| after.as_ref() == Some(&first.sort_key)) {
        rows.remove(0);
    }
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| has_more).map(|last| {
        encode_cursor(&PageCursor {
            partition_key: last.partition_key.clone(),
            sort_key: last.sort_key.clone(),
        })
    });
    Ok((rows, next))
}

/// A page of stored documents as they are.
pub(crate) fn raw_page(documents: &[Bytes], next_cursor: Option<&str>) -> Vec<u8> {
    let mut body = br#"{"items":"#.to_vec();
    body.extend_from_slice(&raw_array(documents));
    body.extend_from_slice(br#","next_cursor":"#);
    // A cursor is hexadecimal: nothing in it needs escaping.
    match next_cursor {
        Some(cursor) => body.extend_from_slice(format!("\"{cursor}\"").as_bytes()),
        None => body.extend_from_slice(b"null"),
    }
    body.push(b'}');
    body
}

/// Stored documents as they are, in an array.
pub(crate) fn raw_array(documents: &[Bytes]) -> Vec<u8> {
    let mut body = Vec::with_capacity(documents.iter().map(|d| d.len() + 1).sum::<usize>() + 2);
    body.push(b'[');
    for (i, document) in documents.iter().enumerate() {
        if i > 0 {
            body.push(b',');
        }
        body.extend_from_slice(document);
    }
    body.push(b']');
    body
}

/// `<partition key> 00 <sort key>` in hexadecimal: text that says nothing and needs no escaping in a URL.
fn encode_cursor(cursor: &PageCursor) -> String {
    let bytes = cursor.partition_key.bytes().chain([0]).chain(cursor.sort_key.bytes());
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

fn decode_cursor(text: &str) -> Option<PageCursor> {
    // Ids and sort keys have at most 512 bytes each.
    if text.len() > 4_096 || !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let byte = |i: usize| u8::from_str_radix(text.get(i..i + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(byte).collect();
    let text = String::from_utf8(bytes?).ok()?;
    let (partition_key, sort_key) = text.split_once('\0')?;
    let cursor = PageCursor { partition_key: partition_key.to_owned(), sort_key: sort_key.to_owned() };
    let key = read_store::RowKey::new(Table::new("cursor", 1), partition_key, sort_key);
    key.check().is_ok().then_some(cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_nonsense_is_refused() {
        let cursor = PageCursor { partition_key: "a b".to_owned(), sort_key: "7".to_owned() };
        let text = encode_cursor(&cursor);
        assert_eq!(decode_cursor(&text), Some(cursor));
        for bad in ["x", "zz", "6100610061", "00", "+1", "ä0", "61"] {
            assert_eq!(decode_cursor(bad), None, "{bad}");
        }
    }

    #[test]
    fn limits_are_kept() {
        assert_eq!(PageQuery::new(None, None).limit().unwrap(), 100);
        assert_eq!(PageQuery::new(Some(1_000), None).limit().unwrap(), 1_000);
        for bad in [0, 1_001, u64::MAX] {
            let problem = PageQuery::new(Some(bad), None).limit().unwrap_err();
            assert_eq!(problem.code, "invalid_value");
        }
    }
}
