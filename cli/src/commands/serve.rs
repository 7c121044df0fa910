//! `millrace serve`: one part of the platform, against Kafka.

use std::pin::pin;
use std::process::ExitCode;
use std::task::Poll;

use crate::app::{App, Part};
use crate::args::ServeArgs;
use crate::config::{Config, Flags};

/// Serves a part until a signal.
pub(crate) async fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let flags = Flags { commands_url: args.commands_url.clone(), ..args.platform.flags() };
    let config = Config::load(&flags, std::env::vars())?;
    if args.platform.dump_config {
        print!("{}", service_kit::dump_config(&config)?);
        return Ok(ExitCode::SUCCESS);
    }
    let (kafka, namespace) = (config.kafka.clone(), config.namespace.clone());
    let part = Part::from(args.part);
    let app = App::start_part(config, part).await?;
    let mut served = pin!(app.run_until_signal());
    // Its first step is to listen for signals: whoever reads where it serves may send one at once.
    if let Poll::Ready(outcome) = futures::poll!(served.as_mut()) {
        outcome?;
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("millrace: {part} on {} · Kafka {kafka}, namespace {namespace} · Ctrl-C stops", app.url());
    served.await?;
    Ok(ExitCode::SUCCESS)
}
