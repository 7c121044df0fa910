//! The command line: what can be said, and the help that a stranger can follow.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::app::Part;
use crate::config::Flags;

/// Millrace: an event-sourced commerce platform.
///
/// Commands go in over HTTP, become events in a log (embedded, or Apache Kafka), and are served from views.
#[derive(Debug, Parser)]
#[command(name = "millrace", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "\
Start here:
  millrace up --demo          everything in one process, with two weeks of a real shop in it
  millrace status             what a running process does
  http://127.0.0.1:8080/docs  every route with an example

Exit codes: 0 it worked, 1 it failed or found something wrong, 2 it could not be tried.
Logs go to stderr: MILLRACE_LOG=info or debug, MILLRACE_LOG_FORMAT=json.")]
pub struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(UpArgs),
    Serve(ServeArgs),
    Import(crate::import::ImportArgs),
    #[command(subcommand)]
    Topics(TopicsCommand),
    Tail(TailArgs),
    Events(EventsArgs),
    Status(StatusArgs),
    Projections(ProjectionsArgs),
    Rebuild(RebuildArgs),
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    Verify(crate::verify::VerifyArgs),
}

/// Start the whole platform in one process and serve it until Ctrl-C
///
/// Commands and queries are served under one address. Without --kafka the log lives in DIR/log, and nothing else is
/// needed. With --kafka the log is a Kafka cluster; DIR then holds only what can be rebuilt from it. With --cql the views are
/// on a CQL server, where every node reads the same ones.
#[derive(Debug, Args)]
#[command(after_help = "\
Parts, all by default; --parts runs some of them (config key `parts`, MILLRACE_PARTS):
  commands-api      decides commands
  projector         follows the log into its views
  process-managers  carries orders from placed to delivered
  query-api         answers queries; brings the projector with it, unless the views are on a
                    CQL server

Folders in DIR:
  log                              the embedded log: this is the data
  state, views, process-managers   rebuilt from the log when missing

Configuration: defaults, then millrace.toml (or --config FILE), then MILLRACE_… variables, then
flags; later ones win. --dump-config prints every key with its value. Keys of sections are
variables too: host.turn_commands_max is MILLRACE_HOST_TURN_COMMANDS_MAX.

The first signal (Ctrl-C, SIGTERM) finishes what runs and stops in order; a second one leaves at
once.")]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) platform: PlatformArgs,
    /// Run only these parts, comma-separated [default: all]
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',')]
    pub(crate) parts: Option<Vec<ServePart>>,
    /// Import the bundled two weeks of a real shop after the start, and keep serving. Done before, it changes nothing
    #[arg(long, env = "MILLRACE_DEMO", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub(crate) demo: bool,
}

/// Serve one part of the platform against Kafka, one part a process
///
/// The parts share nothing but the log, so each can run several times and on its own machine.
#[derive(Debug, Args)]
#[command(after_help = "\
Parts:
  commands-api      decides commands on the shards that the consumer group gives it
  projector         follows the log into its views; HTTP for health, metrics and /admin/v1 only
  process-managers  carries orders from placed to delivered; submits to --commands-url
  query-api         answers queries

With --cql the views are on a CQL server: `serve projector` fills them (several share the work), any
number of `serve query-api` read them. Without it they are local files, and a folder belongs to one
process: `serve query-api` runs a projector of its own into DIR/query-views; a separate `serve
projector` keeps DIR/views and answers no queries.

Callers may use any commands-api: a node passes a command on to the one that owns its shard. Nodes on
several machines need the same installation_secret (MILLRACE_INSTALLATION_SECRET), and an --advertise
address where they reach each other if they listen on a wildcard one.

The topics must exist: `millrace topics init` makes them.

Each part takes the same flags as `millrace up`; on one machine give each its own --listen.")]
pub(crate) struct ServeArgs {
    /// Which part
    #[arg(value_enum)]
    pub(crate) part: ServePart,
    #[command(flatten)]
    pub(crate) platform: PlatformArgs,
    /// Where process-managers submits commands [default: http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", env = "MILLRACE_COMMANDS_URL")]
    pub(crate) commands_url: Option<String>,
}

/// The parts that can be named.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ServePart {
    CommandsApi,
    Projector,
    ProcessManagers,
    QueryApi,
}

impl From<ServePart> for Part {
    fn from(part: ServePart) -> Self {
        match part {
            ServePart::CommandsApi => Self::CommandsApi,
            ServePart::Projector => Self::Projector,
            ServePart::ProcessManagers => Self::ProcessManagers,
            ServePart::QueryApi => Self::QueryApi,
        }
    }
}

/// The flags of `up` and `serve`.
#[derive(Debug, Args)]
pub(crate) struct PlatformArgs {
    /// Folder of the embedded log, the state and the views [default: ./millrace-data]
    #[arg(long, value_name = "DIR", env = "MILLRACE_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where to serve HTTP; port 0 picks a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT", env = "MILLRACE_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where other nodes reach this one [default: where it listens]
    #[arg(long, value_name = "HOST:PORT", env = "MILLRACE_ADVERTISE")]
    pub(crate) advertise: Option<String>,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// CQL servers (ScyllaDB, Cassandra) for the views, comma-separated host:port; needs --kafka [default: views in DIR]
    #[arg(long, value_name = "HOST:PORT", env = "MILLRACE_CQL")]
    pub(crate) cql: Option<String>,
    /// Print the configuration that would be used, as TOML, and exit
    #[arg(long)]
    pub(crate) dump_config: bool,
}

/// The flags that name a log.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Kafka brokers, comma-separated host:port; without it the embedded log is used
    #[arg(long, value_name = "BOOTSTRAP", env = "MILLRACE_KAFKA")]
    pub(crate) kafka: Option<String>,
    /// Prefix of all topics [default: millrace]
    #[arg(long, value_name = "NS", env = "MILLRACE_NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// Partitions of every topic, and so shards; fixed when the log is made [default: 2 for a new log]
    #[arg(long, value_name = "N", env = "MILLRACE_PARTITIONS")]
    pub(crate) partitions: Option<u32>,
    /// Configuration file in TOML [default: millrace.toml, if there is one]
    #[arg(long, value_name = "FILE", env = "MILLRACE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

impl PlatformArgs {
    pub(crate) fn flags(&self) -> Flags {
        Flags {
            data_dir: self.data_dir.clone(),
            listen: self.listen,
            advertise: self.advertise.clone(),
            cql: self.cql.clone(),
            ..self.log.flags()
        }
    }
}

impl LogArgs {
    pub(crate) fn flags(&self) -> Flags {
        Flags {
            config: self.config.clone(),
            kafka: self.kafka.clone(),
            namespace: self.namespace.clone(),
            partitions: self.partitions,
            ..Flags::default()
        }
    }
}

/// Create or check the Kafka topics
#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Create the topics that are missing and check those that are there
    ///
    /// Doing it again changes nothing. A topic with other settings than the platform needs is refused, never changed.
    Init(TopicsInitArgs),
}

#[derive(Debug, Args)]
pub(crate) struct TopicsInitArgs {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// Replicas of every topic [default: 1; 3 in production]
    #[arg(long, value_name = "N", env = "MILLRACE_KAFKA_LOG_REPLICATION_FACTOR")]
    pub(crate) replication_factor: Option<i32>,
    /// Replicas that must have a record before it counts as written [default: 1; 2 in production]
    #[arg(long, value_name = "N", env = "MILLRACE_KAFKA_LOG_MIN_INSYNC_REPLICAS")]
    pub(crate) min_insync_replicas: Option<i32>,
}

/// Print the records of the log as they come
///
/// Asks the running process at --url (from this machine only), or reads the log itself: Kafka with --kafka, an embedded
/// one that no process has open with --data-dir (and stops at its end).
#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// Only these topics, with or without the namespace; may be repeated. All by default
    #[arg(long, value_name = "TOPIC")]
    pub(crate) topic: Vec<String>,
    /// Where to begin
    #[arg(long, value_enum, default_value_t = TailFrom::End)]
    pub(crate) from: TailFrom,
    /// Stop after so many records
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// A running process
    #[arg(long, value_name = "URL", env = "MILLRACE_URL", default_value = DEFAULT_URL)]
    pub(crate) url: String,
    /// Read the embedded log of a stopped process in this folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "kafka")]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// Where `tail` begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TailFrom {
    /// At the first record
    Start,
    /// Behind the last one: only what comes from now on
    End,
}

/// Where a process is looked for.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// Print all events of one stream, such as order/536365
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  millrace events order/536365
  millrace events stock/85123A --json

Aggregates: product, stock, cart, order, payment, customer, shipment.")]
pub(crate) struct EventsArgs {
    /// The stream
    #[arg(value_name = "AGGREGATE/ID")]
    pub(crate) stream: String,
    /// The process that serves queries
    #[arg(long, value_name = "URL", env = "MILLRACE_URL", default_value = DEFAULT_URL)]
    pub(crate) url: String,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show what a running process does: health, shards, lag of the views, size of the log
///
/// It has to run on this machine: a process tells this to loopback callers only. Exits with 1 when it is not ready.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The process
    #[arg(long, value_name = "URL", env = "MILLRACE_URL", default_value = DEFAULT_URL)]
    pub(crate) url: String,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// List the views: generation, lag, dead letters, what is being built
///
/// Exits with 1 when one of them waits for a decision.
#[derive(Debug, Args)]
pub(crate) struct ProjectionsArgs {
    /// A process with the views
    #[arg(long, value_name = "URL", env = "MILLRACE_URL", default_value = DEFAULT_URL)]
    pub(crate) url: String,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Build a view anew from the log, beside the one that serves
///
/// Readers and writers go on. Once the new generation has caught up, both are compared row by row. If they are equal, the new
/// one serves; if not, the keys that differ are listed and nothing changes until --accept or --drop. A build that is
/// interrupted goes on where it was, also after a restart; the command may be stopped and started again to follow it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  millrace rebuild order            build, compare, serve if equal
  millrace rebuild order --accept   let it serve although rows differ (after a fix of its code)
  millrace rebuild order --drop     drop what is built, or else the generation that served before

Exit codes: 0 the new generation serves, 1 it differs or cannot be built, 2 it could not be tried.")]
pub(crate) struct RebuildArgs {
    /// Which view, such as order; `millrace projections` lists them
    #[arg(value_name = "PROJECTION")]
    pub(crate) projection: String,
    /// Let the generation that is built serve although it differs
    #[arg(long, conflicts_with = "drop")]
    pub(crate) accept: bool,
    /// Drop what is built, or else the retired generation
    #[arg(long)]
    pub(crate) drop: bool,
    /// A process with the views
    #[arg(long, value_name = "URL", env = "MILLRACE_URL", default_value = DEFAULT_URL)]
    pub(crate) url: String,
}

/// Events that views could not take
///
/// An event that a projection cannot take is parked, and the later events of its stream wait behind it. A projection that sums
/// several streams up waits in front of it instead, with its partition. Everything else flows.
#[derive(Debug, Subcommand)]
pub(crate) enum DeadLettersCommand {
    /// List them; exits with 1 when something waits
    List(LettersArgs),
    /// Show one: the whole record, and the event if it can be read
    Show(LetterArgs),
    /// Take one again, and then in order what waits behind it; exits with 1 when it still cannot be taken
    Retry(LetterArgs),
    /// Leave one out for ever, and take what waits behind it
    Skip(LetterArgs),
}

#[derive(Debug, Args)]
pub(crate) struct LettersArgs {
    /// Only those of this projection
    #[arg(long, value_name = "PROJECTION")]
    pub(crate) projection: Option<String>,
    /// A process with the views
    #[arg(long, value_name = "URL", env = "MILLRACE_URL", default_value = DEFAULT_URL)]
    pub(crate) url: String,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LetterArgs {
    /// Which one, as `list` shows it, such as order_v1/millrace.order.events/0@17
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// A process with the views
    #[arg(long, value_name = "URL", env = "MILLRACE_URL", default_value = DEFAULT_URL)]
    pub(crate) url: String,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn help(path: &[&str]) -> String {
        let mut command = Cli::command();
        command.build();
        let mut found = &mut command;
        for name in path {
            found = found.find_subcommand_mut(name).unwrap();
        }
        found.render_long_help().to_string()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_names_every_flag_with_its_variable_and_default() {
        let platform = ["data-dir", "listen", "kafka", "cql", "namespace", "partitions", "config"];
        for command in ["up", "serve"] {
            let help = help(&[command]);
            for flag in platform {
                let variable = format!("MILLRACE_{}", flag.replace('-', "_").to_uppercase());
                assert!(help.contains(&format!("--{flag} <")), "--{flag} in the help of {command}:\n{help}");
                assert!(help.contains(&variable), "{variable} in the help of {command}:\n{help}");
            }
            assert!(help.contains("--dump-config"), "{help}");
            for default in ["./millrace-data", "127.0.0.1:8080", "[default: millrace]"] {
                assert!(help.contains(default), "{default} in the help of {command}:\n{help}");
            }
        }
        assert!(help(&["up"]).contains("--demo"));
        let serve = help(&["serve"]);
        for part in
            ["commands-api", "projector", "process-managers", "query-api", "--commands-url", "query-views"]
        {
            assert!(serve.contains(part), "{serve}");
        }
    }

    #[test]
    fn every_argument_of_every_command_says_what_it_does() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments().filter(|argument| argument.get_id() != "help") {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
            assert!(command.get_about().is_some(), "{}", command.get_name());
            command.get_subcommands().filter(|below| below.get_name() != "help").for_each(check);
        }
        let mut command = Cli::command();
        command.build();
        check(&command);
    }

    #[test]
    fn defaults_in_the_help_are_the_configurations() {
        let config = crate::Config::default();
        assert_eq!(config.commands_url, DEFAULT_URL);
        assert_eq!(format!("http://{}", config.listen), DEFAULT_URL);
        assert_eq!(config.data_dir.to_str(), Some("./millrace-data"));
    }
}
