//! `millrace dead-letters`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use event_log::Record;
use projections::{DeadLetter, LetterState};

use crate::admin::{LetterAnswer, LettersPage};
use crate::api_client::ApiClient;
use crate::args::{DeadLettersCommand, LetterArgs, LettersArgs};
use crate::report::FAILED;
use crate::stdout;

/// How long a request may wait for its projector, and how often it is looked for.
const WAIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);
/// How long a projection that waited in front of an event may take to go past it.
const RETRY_WAIT: Duration = Duration::from_secs(3);

pub(crate) async fn run(command: DeadLettersCommand) -> anyhow::Result<ExitCode> {
    match command {
        DeadLettersCommand::List(args) => list(args).await,
        DeadLettersCommand::Show(args) => show(args).await,
        DeadLettersCommand::Retry(args) => settle(args, "retry").await,
        DeadLettersCommand::Skip(args) => settle(args, "skip").await,
    }
}

async fn list(args: LettersArgs) -> anyhow::Result<ExitCode> {
    let client = ApiClient::new(&args.url)?;
    let (mut after, mut open): (Option<String>, u64) = (None, 0);
    loop {
        let mut url = client.at(["admin", "v1", "dead-letters"]);
        url.query_pairs_mut().append_pair("limit", "1000");
        if let Some(projection) = &args.projection {
            url.query_pairs_mut().append_pair("projection", projection);
        }
        if let Some(after) = &after {
            url.query_pairs_mut().append_pair("after", after);
        }
        let page: LettersPage = client.json(url).await?;
        for letter in page.items {
            open += u64::from(letter.state != LetterState::Skipped);
            if args.json {
                stdout::line(serde_json::to_string(&letter)?)?;
            } else {
                stdout::line(line(&letter))?;
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if open == 0 && !args.json {
        stdout::line("nothing waits")?;
    }
    Ok(ExitCode::from(if open > 0 { FAILED } else { 0 }))
}

async fn show(args: LetterArgs) -> anyhow::Result<ExitCode> {
    let letter = get(&ApiClient::new(&args.url)?, &args.id).await?;
    stdout::line(serde_json::to_string_pretty(&letter)?)?;
    let record = Record::try_from(letter.record)?;
    if let Ok(event) = event_log::decode_event(&record) {
        stdout::line(serde_json::to_string_pretty(&event.event.body_json())?)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn get(client: &ApiClient, id: &str) -> anyhow::Result<DeadLetter> {
    let mut url = client.at(["admin", "v1", "dead-letters", "letter"]);
    url.query_pairs_mut().append_pair("id", id);
    client.json(url).await
}

/// Whether there still is such a letter; any other failure is one.
async fn find(client: &ApiClient, id: &str) -> anyhow::Result<Option<DeadLetter>> {
    let mut url = client.at(["admin", "v1", "dead-letters"]);
    let projection = id.split_once('/').map_or(id, |(projection, _)| projection);
    url.query_pairs_mut().append_pair("limit", "1000").append_pair("projection", projection);
    let mut after: Option<String> = None;
    loop {
        let mut url = url.clone();
        if let Some(after) = &after {
            url.query_pairs_mut().append_pair("after", after);
        }
        let page: LettersPage = client.json(url).await?;
        if let Some(found) = page.items.into_iter().find(|letter| letter.id().to_string() == id) {
            return Ok(Some(found));
        }
        after = page.next;
        if after.is_none() {
            return Ok(None);
        }
    }
}

async fn settle(args: LetterArgs, action: &'static str) -> anyhow::Result<ExitCode> {
    let client = ApiClient::new(&args.url)?;
    let mut url = client.at(["admin", "v1", "dead-letters", action]);
    let principal = std::env::var("USER").unwrap_or_else(|_| "operator".to_owned());
    url.query_pairs_mut().append_pair("id", &args.id).append_pair("principal", &principal);
    let LetterAnswer { request } = client.post(url).await?;
    let began = Instant::now();
    let mut done_at: Option<Instant> = None;
    loop {
        let Some(letter) = find(&client, &args.id).await? else {
            stdout::line(format!("{} is taken", args.id))?;
            return Ok(ExitCode::SUCCESS);
        };
        if letter.state == LetterState::Skipped {
            stdout::line(format!("{} is left out for ever", args.id))?;
            return Ok(ExitCode::SUCCESS);
        }
        if letter.requests_done >= request {
            // Who waits in front of an event reads it again after saying so.
            let done_at = *done_at.get_or_insert_with(Instant::now);
            if letter.state == LetterState::Parked || done_at.elapsed() > RETRY_WAIT {
                stdout::line(format!(
                    "{} still cannot be taken: {}",
                    args.id,
                    letter.reason.unwrap_or_default()
                ))?;
                return Ok(ExitCode::from(FAILED));
            }
        }
        anyhow::ensure!(
            began.elapsed() < WAIT,
            "no projector has carried this out within {} s; it will once one runs its partition",
            WAIT.as_secs()
        );
        tokio::time::sleep(POLL).await;
    }
}

fn line(letter: &DeadLetter) -> String {
    let reason = match (&letter.reason, &letter.skipped_by) {
        (_, Some(who)) => format!("by {who}"),
        (Some(reason), None) => reason.clone(),
        (None, None) => String::new(),
    };
    format!("{:<8} {}  {}  {reason}", letter.state.to_string(), letter.id(), letter.recorded_at())
}
