//! `millrace events`: one stream, as the query API has it.

use std::process::ExitCode;

use serde_json::Value;

use crate::api_client::ApiClient;
use crate::args::EventsArgs;
use crate::report::hinted;
use crate::stdout;

/// Events of one page; the API's maximum.
const PAGE: usize = 1_000;

/// Prints every event of a stream, page by page.
pub(crate) async fn run(args: EventsArgs) -> anyhow::Result<ExitCode> {
    let Some((aggregate, id)) =
        args.stream.split_once('/').filter(|(aggregate, id)| !aggregate.is_empty() && !id.is_empty())
    else {
        return Err(hinted(
            format!("{:?} is not a stream", args.stream),
            "it looks like order/536365 or stock/85123A: `millrace events --help` lists the aggregates",
        ));
    };
    let client = ApiClient::new(&args.url)?;
    let mut after = 0;
    loop {
        let mut url = client.at(["v1", "streams", aggregate, id]);
        url.query_pairs_mut()
            .append_pair("after", &after.to_string())
            .append_pair("limit", &PAGE.to_string());
        let events: Vec<Value> = client.json(url).await?;
        for event in &events {
            if args.json {
                stdout::line(event)?;
            } else {
                stdout::line(text(event))?;
            }
        }
        let last = events.last().and_then(|event| event.get("version")).and_then(Value::as_u64);
        match last {
            // A page that does not move on would be asked for ever.
            Some(last) if events.len() == PAGE && last > after => after = last,
            Some(_) => return Ok(ExitCode::SUCCESS),
            None if after > 0 => return Ok(ExitCode::SUCCESS),
            None => {
                return Err(hinted(format!("there are no events of {aggregate}/{id}"), "is the id right?"));
            }
        }
    }
}

fn text(event: &Value) -> String {
    let field = |name: &str| match event.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "?".to_owned(),
    };
    format!(
        "{:>4}  {}  {:<36} by {}  {}",
        field("version"),
        field("occurred_at"),
        field("type"),
        field("principal"),
        field("data")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let event = serde_json::json!({
            "version": 2, "type": "millrace.order.confirmed.v1", "occurred_at": "2026-01-01T00:00:00.000Z",
            "principal": "anonymous", "data": {"a": 1}
        });
        let text = text(&event);
        assert_eq!(text.lines().count(), 1);
        assert!(text.starts_with("   2  2026-01-01T00:00:00.000Z  millrace.order.confirmed.v1"), "{text}");
        assert!(text.ends_with("by anonymous  {\"a\":1}"), "{text}");
    }
}
