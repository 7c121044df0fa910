//! `cargo xtask infra up|down|status [kafka] [cassandra] [registry]`: real servers on loopback ports.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};

use crate::{process, workspace};

pub mod cassandra;
mod daemon;
mod instance;
mod jars;
pub mod kafka;
mod ports;
pub mod postgres;
mod record;

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
    /// How many brokers; of several each has everything, and all but one must have it
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=9))]
    brokers: u32,
    /// Keep the data of the last run instead of starting fresh
    #[arg(long)]
    keep: bool,
    /// Print one JSON object, {"kafka":"127.0.0.1:PORT,…","cassandra":"127.0.0.1:PORT"}, with what was started, and nothing
    /// else on standard output
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
    /// Stop every instance under the build folder, whatever its name
    #[arg(long, conflicts_with_all = ["name", "dir"])]
    all: bool,
}

/// Which instance is meant; several can run side by side.
#[derive(Debug, Args)]
struct Place {
    /// The instance's name: its folder is target/infra/SERVER/NAME
    #[arg(long, default_value = "default")]
    name: String,
    /// The instance's folder, wherever it is; for one server
    #[arg(long, conflicts_with = "name")]
    dir: Option<PathBuf>,
}

impl Place {
    fn folder(&self, server: Server) -> Result<PathBuf> {
        match &self.dir {
            Some(dir) => std::path::absolute(dir).with_context(|| format!("bad folder {}", dir.display())),
            None => server.folder(&self.name),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Server {
    Kafka,
    Cassandra,
    Registry,
}

impl Server {
    fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Cassandra => "cassandra",
            Self::Registry => "registry",
        }
    }

    fn folder(self, name: &str) -> Result<PathBuf> {
        match self {
            Self::Cassandra => cassandra::folder(&workspace::target_dir(), name),
            _ => kafka::folder(&workspace::target_dir(), name),
        }
    }

    fn folders(self) -> Vec<PathBuf> {
        match self {
            Self::Cassandra => cassandra::folders(&workspace::target_dir()),
            _ => kafka::folders(&workspace::target_dir()),
        }
    }

    /// Starts it; returns where it listens.
    fn up(self, arguments: &UpArguments) -> Result<String> {
        let folder = arguments.place.folder(self)?;
        match self {
            Self::Cassandra => cassandra::up(&folder, arguments.keep),
            _ => kafka::up(&kafka::Options { folder, brokers: arguments.brokers, keep: arguments.keep }),
        }
    }

    /// Stops it; returns where it listened, if it ran.
    fn down(self, folder: &Path) -> Result<Option<String>> {
        if self == Self::Cassandra {
            return cassandra::down(folder);
        }
        Ok(match kafka::down(folder)? {
            kafka::Stopped::Stopped(address) => Some(address),
            kafka::Stopped::WasNotRunning => None,
        })
    }
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
    let servers = chosen(&arguments.servers, &arguments.place)?;
    process::catch_interrupts();
    let mut addresses = serde_json::Map::new();
    for server in servers {
        let address = server.up(arguments)?;
        if !arguments.json {
            println!("{} {address}", server.name());
        }
        addresses.insert(server.name().to_owned(), address.into());
    }
    if arguments.json {
        println!("{}", serde_json::Value::Object(addresses));
    }
    Ok(())
}

fn down(arguments: &DownArguments) -> Result<()> {
    let servers = match arguments.all && arguments.servers.is_empty() {
        true => vec![Server::Kafka, Server::Cassandra],
        false => chosen(&arguments.servers, &arguments.place)?,
    };
    let mut failed = 0;
    for server in servers {
        let folders = if arguments.all { server.folders() } else { vec![arguments.place.folder(server)?] };
        for folder in folders {
            match server.down(&folder) {
                Ok(Some(address)) => println!("{} {address} stopped", server.name()),
                Ok(None) => println!("{} was not running in {}", server.name(), folder.display()),
                Err(error) => {
                    eprintln!("error: {error:#}");
                    failed += 1;
                }
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
    if let Some(address) = cassandra::given_address() {
        let state = if cassandra::probe(&address).is_ok() { "answers" } else { "does not answer" };
        println!("cassandra {address} {state} (from {})", cassandra::ADDRESS_VARIABLE);
    }
    let mut lines: Vec<String> =
        Server::Kafka.folders().iter().map(|folder| kafka::describe(folder)).collect();
    lines.extend(Server::Cassandra.folders().iter().map(|folder| cassandra::describe(folder)));
    if lines.is_empty() {
        println!("nothing was started");
    }
    lines.iter().for_each(|line| println!("{line}"));
    Ok(())
}

/// The servers that were asked for, Kafka without. One folder is for one of them.
fn chosen(servers: &[Server], place: &Place) -> Result<Vec<Server>> {
    if servers.contains(&Server::Registry) {
        let what = "registry comes with a later version; kafka and cassandra are there now";
        return Err(Unavailable(what.to_owned()).into());
    }
    let mut chosen = if servers.is_empty() { vec![Server::Kafka] } else { servers.to_vec() };
    chosen.dedup();
    if place.dir.is_some() && chosen.len() > 1 {
        bail!("--dir is the folder of one server; name one, or leave the folder out");
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(dir: Option<&str>) -> Place {
        Place { name: "default".to_owned(), dir: dir.map(PathBuf::from) }
    }

    #[test]
    fn servers_of_later_versions_are_refused_before_anything_starts() {
        let error = chosen(&[Server::Kafka, Server::Registry], &place(None)).unwrap_err();
        assert!(error.is::<Unavailable>());
        assert!(error.to_string().contains("kafka and cassandra are there now"));
        assert_eq!(chosen(&[], &place(None)).unwrap(), [Server::Kafka]);
    }

    #[test]
    fn one_folder_is_for_one_server() {
        let both = [Server::Kafka, Server::Cassandra];
        assert_eq!(chosen(&both, &place(None)).unwrap(), both);
        assert!(chosen(&both, &place(Some("/a"))).unwrap_err().to_string().contains("one server"));
    }
}
