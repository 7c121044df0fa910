//! `millrace status`.

use std::process::ExitCode;

use crate::admin::Status;
use crate::api_client::ApiClient;
use crate::args::StatusArgs;
use crate::report::FAILED;
use crate::stdout;

/// Prints what the process says of itself; fails when it is not ready.
pub(crate) async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let client = ApiClient::new(&args.url)?;
    let status: Status = client.json(client.at(["admin", "v1", "status"])).await?;
    if args.json {
        stdout::line(serde_json::to_string_pretty(&status)?)?;
    } else {
        stdout::line(text(&status).trim_end())?;
    }
    Ok(ExitCode::from(if status.ready { 0 } else { FAILED }))
}

fn text(status: &Status) -> String {
    let mut lines = vec![
        format!(
            "millrace {} · {} · {} log, namespace {} · data in {}",
            status.version,
            status.parts.join(" + "),
            status.log,
            status.namespace,
            status.data_dir
        ),
        match (status.ready, status.live) {
            (true, true) => "ready".to_owned(),
            (true, false) => "ready, but something is stalled".to_owned(),
            (false, _) => "NOT READY".to_owned(),
        },
    ];
    for component in &status.components {
        let field = |name| component.get(name).and_then(|value: &serde_json::Value| value.as_str());
        let reason = field("reason").map(|reason| format!(": {reason}")).unwrap_or_default();
        lines.push(format!(
            "  {:<24} {}{reason}",
            field("name").unwrap_or("?"),
            field("status").unwrap_or("?")
        ));
    }
    if let Some(shards) = &status.shards {
        lines.push(format!("shards: {} of {} served here", shards.serving, shards.total));
    }
    for lag in &status.lag {
        let reason = lag.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        lines.push(format!(
            "views, partition {}: {}{reason}, {} events and {} s behind",
            lag.partition, lag.state, lag.lag_events, lag.lag_seconds
        ));
    }
    if let Some(managers) = &status.process_managers {
        lines.push(format!(
            "process managers: {} events waiting, {} matters open",
            managers.events_waiting, managers.matters_open
        ));
    }
    lines.push("log:".to_owned());
    for topic in &status.topics {
        lines.push(format!("  {:<36} {:>12}", topic.topic, topic.stable_records));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{LagStatus, ShardsStatus, TopicStatus};

    #[test]
    fn the_text_names_what_is_wrong() {
        let status = Status {
            version: "0.1.0".to_owned(),
            parts: vec!["commands-api".to_owned(), "projector".to_owned()],
            log: "embedded".to_owned(),
            namespace: "shop".to_owned(),
            data_dir: "./d".to_owned(),
            live: true,
            ready: false,
            components: vec![
                serde_json::json!({"name": "projector-1", "status": "failed", "reason": "poison"}),
            ],
            shards: Some(ShardsStatus { serving: 1, total: 2 }),
            lag: vec![LagStatus {
                partition: 1,
                state: "stopped".to_owned(),
                reason: Some("poison".to_owned()),
                lag_events: 7,
                lag_seconds: 9,
            }],
            process_managers: None,
            topics: vec![TopicStatus { topic: "shop.commands".to_owned(), stable_records: 12 }],
        };
        let text = text(&status);
        for part in [
            "NOT READY",
            "failed: poison",
            "1 of 2 served",
            "stopped (poison), 7 events and 9 s",
            "shop.commands",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
}
