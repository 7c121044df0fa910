//! Clients of a host, whose requests are written down.

use std::sync::Arc;

use aggregate_host::{HostAnswer, HostError, HostHandle};
use event_log::Log;
use schemas::CommandEnvelope;
use testkit::history::{Evidence, Recorder, Report, Scope, Told, Wish, check, read_log};

/// Submits and writes down what was told.
pub(crate) async fn ask(recorder: &Recorder, client: u32, host: &HostHandle, envelope: CommandEnvelope) {
    let body = serde_json::to_value(&envelope.command).unwrap();
    let wish = Wish {
        stream: envelope.command.stream(),
        kind: body["type"].as_str().unwrap().to_owned().into(),
        hash: envelope.hash(),
        principal: envelope.principal.clone(),
        expected_version: None,
    };
    let asked = recorder.ask(client, envelope.command_id, wish);
    let answer = host.submit(envelope).await;
    asked.told(told(&answer));
}

fn told(answer: &Result<HostAnswer, HostError>) -> Told {
    match answer {
        Ok(answer) => Told::outcome(&answer.outcome, answer.replayed),
        Err(HostError::IdReused { .. }) => Told::IdReused,
        Err(error @ HostError::OutcomeUnknown { .. }) => Told::unknown(error.code().as_str()),
        Err(error) => Told::not_done(error.code().as_str()),
    }
}

/// Holds what was written down against the log.
pub(crate) fn report(recorder: &Recorder, log: &Arc<dyn Log>) -> Report {
    let evidence = Evidence { history: recorder.history(), log: read_log(&**log).unwrap() };
    check(&evidence.history, &evidence.log, &Scope::default())
}
