//! From the parsed command line to the exit code.

use std::process::ExitCode;

use service_kit::LogOptions;

use crate::args::{Cli, Command};
use crate::commands;
use crate::report::report;
use crate::{import, stdout, verify};

/// Runs a command to its end. Results go to stdout, everything else to stderr.
pub fn run(cli: Cli) -> ExitCode {
    let runtime = log_options(&cli.command)
        .and_then(|options| options.install())
        .and_then(|()| service_kit::arm_fail_points_from_environment())
        .map_err(anyhow::Error::from)
        .and_then(|()| Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?));
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return report(&error),
    };
    let code =
        runtime.block_on(execute(cli.command)).unwrap_or_else(|error| match stdout::is_closed(&error) {
            true => ExitCode::SUCCESS,
            false => report(&error),
        });
    // A thread that still reads or a query in the air must not keep a finished program.
    runtime.shutdown_background();
    code
}

/// People at a terminal get warnings and the few lines that a command prints itself; a part of a cluster tells its
/// changes of state. The database's own messages are for debugging. `MILLRACE_LOG` says otherwise.
fn log_options(command: &Command) -> Result<LogOptions, service_kit::Error> {
    let options = LogOptions::from_environment()?;
    if options.filter != LogOptions::default().filter || std::env::var_os(service_kit::LOG_VARIABLE).is_some()
    {
        return Ok(options);
    }
    let filter = match command {
        Command::Serve(_) => "info,fjall=warn,lsm_tree=warn",
        _ => "warn",
    };
    Ok(LogOptions { filter: filter.to_owned(), ..options })
}

async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(args) => commands::up::run(args).await,
        Command::Serve(args) => commands::serve::run(args).await,
        Command::Import(args) => import::run(args).await,
        Command::Topics(command) => commands::topics::run(command).await,
        Command::Tail(args) => commands::tail::run(args).await,
        Command::Events(args) => commands::events::run(args).await,
        Command::Status(args) => commands::status::run(args).await,
        Command::Projections(args) => commands::projections::run(args).await,
        Command::Rebuild(args) => commands::rebuild::run(args).await,
        Command::DeadLetters(command) => commands::dead_letters::run(command).await,
        // It reads a whole log, which blocks.
        Command::Verify(args) => tokio::task::spawn_blocking(move || verify::run(args)).await?,
    }
}
