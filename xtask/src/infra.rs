//! `cargo xtask infra up|down|status [kafka] [cassandra] [registry]`: real servers on loopback ports.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};

use crate::{process, workspace};

pub mod kafka;
pub mod postgres;

/// What to do with the servers.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Start servers and print where they listen
    Up(UpArguments),
    /// Stop what `up` started, nothing else
    Down(DownArguments),
    /// List what `up` started
    Status,
}

/// The flags of `infra up`.
#[derive(Debug, Args)]
pub struct UpArguments {
    /// The servers to start [default: kafka]
    servers: Vec<Server>,
    #[command(flatten)]
    place: Place,
    /// Keep the data of the last run instead of starting fresh
    #[arg(long)]
    keep: bool,
    /// Print one JSON object, {"kafka":"127.0.0.1:PORT"}, and nothing else on standard output
    #[arg(long)]
    json: bool,
}

/// The flags of `infra down`.
#[derive(Debug, Args)]
pub struct DownArguments {
    /// The servers to stop [default: kafka]
    servers: Vec<Server>,
    #[command(flatten)]
    place: Place,
    /// Stop every broker under the build folder, whatever its name
    #[arg(long, conflicts_with_all = ["name", "dir"])]
    all: bool,
}

/// Which instance is meant; several can run side by side.
#[derive(Debug, Args)]
struct Place {
    /// The instance's name: its folder is target/infra/kafka/NAME
    #[arg(long, default_value = "default")]
    name: String,
    /// The instance's folder, wherever it is
    #[arg(long, conflicts_with = "name")]
    dir: Option<PathBuf>,
}

impl Place {
    fn folder(&self) -> Result<PathBuf> {
        match &self.dir {
            Some(dir) => std::path::absolute(dir).with_context(|| format!("bad folder {}", dir.display())),
            None => kafka::folder(&workspace::target_dir(), &self.name),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Server {
    Kafka,
    Cassandra,
    Registry,
}

/// This cannot be had here or now: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// Runs one `infra` subcommand; results go to standard output, progress to standard error.
pub fn run(action: &Action) -> Result<()> {
    match action {
        Action::Up(arguments) => up(arguments),
        Action::Down(arguments) => down(arguments),
        Action::Status => status(),
    }
}

fn up(arguments: &UpArguments) -> Result<()> {
    refuse_later(&arguments.servers)?;
    process::catch_interrupts();
    let options = kafka::Options { folder: arguments.place.folder()?, keep: arguments.keep };
    let address = kafka::up(&options)?;
    if arguments.json {
        println!("{}", serde_json::json!({ "kafka": address }));
    } else {
        println!("kafka {address}");
    }
    Ok(())
}

fn down(arguments: &DownArguments) -> Result<()> {
    refuse_later(&arguments.servers)?;
    let folders = if arguments.all {
        kafka::folders(&workspace::target_dir())
    } else {
        vec![arguments.place.folder()?]
    };
    let mut failed = 0;
    for folder in folders {
        match kafka::down(&folder) {
            Ok(kafka::Stopped::Stopped(address)) => println!("kafka {address} stopped"),
            Ok(kafka::Stopped::WasNotRunning) => println!("kafka was not running in {}", folder.display()),
            Err(error) => {
                eprintln!("error: {error:#}");
                failed += 1;
            }
        }
    }
    if failed > 0 {
        bail!("{failed} could not be stopped");
    }
    Ok(())
}

fn status() -> Result<()> {
    if let Some(address) = kafka::given_address() {
        let state = if kafka::probe(&address).is_ok() { "answers" } else { "does not answer" };
        println!("kafka {address} {state} (from {})", kafka::ADDRESS_VARIABLE);
    }
    let folders = kafka::folders(&workspace::target_dir());
    if folders.is_empty() {
        println!("nothing was started");
    }
    for folder in folders {
        println!("{}", kafka::describe(&folder));
    }
    Ok(())
}

fn refuse_later(servers: &[Server]) -> Result<()> {
    for server in servers {
        let name = match server {
            Server::Kafka => continue,
            Server::Cassandra => "cassandra",
            Server::Registry => "registry",
        };
        return Err(Unavailable(format!("{name} comes with a later version; kafka is there now")).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_later_versions_are_refused_before_anything_starts() {
        let error = refuse_later(&[Server::Kafka, Server::Registry]).unwrap_err();
        assert!(error.is::<Unavailable>());
        assert_eq!(error.to_string(), "registry comes with a later version; kafka is there now");
        assert!(refuse_later(&[Server::Kafka]).is_ok());
    }
}
