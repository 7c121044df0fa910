//! What a process of the platform is configured with: defaults, file, environment, flags, in this order.

mod sections;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use aggregate_host::HostConfig;
use commands_api::CommandsApiConfig;
use event_log::{EmbeddedConfig, KafkaConfig, LogConfig};
use process_managers::{ProcessManagersConfig, SandboxConfig};
use projections::ProjectorConfig;
use query_api::QueryConfig;
use read_store::CqlConfig;
use serde::{Deserialize, Serialize};
use service_kit::{HttpOptions, Layers, Millis, Secret, Shutdown};

use crate::app::Part;

pub use self::sections::{EmbeddedSection, KafkaSection, LogSection, ViewsSection};

/// The file that is read when `--config` does not name one.
pub(crate) const DEFAULT_FILE: &str = "millrace.toml";
/// Prefix of the environment variables.
const PREFIX: &str = "MILLRACE";

/// The whole configuration; every key is also an environment variable (`MILLRACE_HTTP_CONNECTIONS_MAX` for
/// `http.connections_max`). Unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of the embedded log and of the disposable state and views. `./millrace-data` by default.
    pub data_dir: PathBuf,
    /// Where HTTP is served; port 0 picks a free one. `127.0.0.1:8080` by default.
    pub listen: SocketAddr,
    /// Kafka's `host:port` pairs, comma-separated; empty (the default): the embedded log.
    pub kafka: String,
    /// `host:port` pairs of a CQL server (ScyllaDB, Cassandra) that has the views, comma-separated; empty (the default): they
    /// are in the data folder. With Kafka only.
    pub cql: String,
    /// Prefix of all topics. `millrace` by default.
    pub namespace: String,
    /// Partitions of every topic, fixed when the log is made; 0 (the default): 2 for a new log, what an existing
    /// embedded log has otherwise.
    pub partitions: u32,
    /// What `up` runs in its one process. All parts by default.
    pub parts: Vec<Part>,
    /// Import the bundled sample after the start (`up` only).
    pub demo: bool,
    /// Where `serve process-managers` submits commands. `http://127.0.0.1:8080` by default.
    pub commands_url: String,
    /// Where other nodes reach this one, `host:port`; empty (the default): where it listens.
    pub advertise: String,
    /// What all nodes of an installation share, 16 bytes or more: with it they believe each other across machines. None by
    /// default, which is enough for one node, or for nodes on one machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installation_secret: Option<Secret<String>>,
    /// How long a node that stops keeps serving after it has said that it is not ready, so that balancers look elsewhere,
    /// milliseconds. Only where other nodes are there to take over. 2,000 by default.
    pub drain_delay_ms: Millis,
    /// Time limit of the whole shutdown, milliseconds. 20,000 by default.
    pub shutdown_timeout_ms: Millis,
    /// How long the start waits for this node's shards, milliseconds; then it goes on and says so. 30,000 by default.
    pub start_timeout_ms: Millis,
    /// The HTTP server's limits.
    pub http: HttpOptions,
    /// The log's limits, in both shapes.
    pub log: LogSection,
    /// The embedded log's limits.
    pub embedded: EmbeddedSection,
    /// The Kafka log's settings.
    pub kafka_log: KafkaSection,
    /// The shards' limits.
    pub host: HostConfig,
    /// The commands API's limits and rules.
    pub commands_api: CommandsApiConfig,
    /// The memory of views in the data folder.
    pub views: ViewsSection,
    /// How views are kept on a CQL server. Its keyspace is named as the namespace unless it says another one.
    pub cql_store: CqlConfig,
    /// The projector's limits.
    pub projector: ProjectorConfig,
    /// The query API's limits.
    pub query_api: QueryConfig,
    /// The process managers' limits and deadlines.
    pub process_managers: ProcessManagersConfig,
    /// The sandbox that stands in for a payment provider.
    pub sandbox: SandboxConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./millrace-data"),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            kafka: String::new(),
            cql: String::new(),
            namespace: "millrace".to_owned(),
            partitions: 0,
            parts: Part::ALL.to_vec(),
            demo: false,
            commands_url: "http://127.0.0.1:8080".to_owned(),
            advertise: String::new(),
            installation_secret: None,
            drain_delay_ms: Millis::new(2_000),
            shutdown_timeout_ms: Shutdown::TIMEOUT_MS,
            start_timeout_ms: Millis::new(30_000),
            http: HttpOptions::default(),
            log: LogSection::default(),
            embedded: EmbeddedSection::default(),
            kafka_log: KafkaSection::default(),
            host: HostConfig::default(),
            commands_api: CommandsApiConfig::default(),
            views: ViewsSection::default(),
            cql_store: CqlConfig::default(),
            projector: ProjectorConfig::default(),
            query_api: QueryConfig::default(),
            process_managers: ProcessManagersConfig::default(),
            sandbox: SandboxConfig::default(),
        }
    }
}

/// What flags say; an absent flag leaves the layers below alone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags {
    pub(crate) config: Option<PathBuf>,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) advertise: Option<String>,
    pub(crate) kafka: Option<String>,
    pub(crate) cql: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) partitions: Option<u32>,
    pub(crate) parts: Option<Vec<Part>>,
    pub(crate) demo: Option<bool>,
    pub(crate) commands_url: Option<String>,
}

impl Config {
    /// Puts the layers together. Without `--config`, `millrace.toml` in the current folder is read if there is one.
    pub(crate) fn load(
        flags: &Flags,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, service_kit::Error> {
        let mut layers = Layers::<Self>::new();
        match &flags.config {
            Some(file) => layers = layers.file(file)?,
            None if Path::new(DEFAULT_FILE).exists() => layers = layers.file(DEFAULT_FILE)?,
            None => {}
        }
        layers
            .environment(PREFIX, variables.into_iter().map(as_a_switch))?
            .set_some("data_dir", flags.data_dir.as_ref().map(|path| path.display().to_string()))
            .set_some("listen", flags.listen.map(|address| address.to_string()))
            .set_some("advertise", flags.advertise.clone())
            .set_some("kafka", flags.kafka.clone())
            .set_some("cql", flags.cql.clone())
            .set_some("namespace", flags.namespace.clone())
            .set_some("partitions", flags.partitions.map(i64::from))
            .set_some(
                "parts",
                flags.parts.as_ref().map(|parts| parts.iter().map(Part::to_string).collect::<Vec<_>>()),
            )
            .set_some("demo", flags.demo)
            .set_some("commands_url", flags.commands_url.clone())
            .build()
    }

    /// Whether the log is Kafka's.
    pub fn is_kafka(&self) -> bool {
        !self.kafka.trim().is_empty()
    }

    /// Whether the views are on a CQL server.
    pub fn has_cql(&self) -> bool {
        !self.cql.trim().is_empty()
    }

    /// The CQL store's own configuration.
    pub(crate) fn cql_store(&self) -> CqlConfig {
        let nodes = self.cql.split(',').map(|node| node.trim().to_owned()).filter(|node| !node.is_empty());
        let keyspace = match self.cql_store.keyspace.as_str() {
            "" => keyspace_of(&self.namespace),
            keyspace => keyspace.to_owned(),
        };
        CqlConfig { nodes: nodes.collect(), keyspace, ..self.cql_store.clone() }
    }

    /// Folder of the embedded log.
    pub fn log_folder(&self) -> PathBuf {
        self.data_dir.join("log")
    }

    fn log(&self) -> LogConfig {
        let defaults = LogConfig::default();
        LogConfig {
            namespace: self.namespace.clone(),
            partitions: if self.partitions == 0 { defaults.partitions } else { self.partitions },
            record_bytes_max: self.log.record_bytes_max.as_usize(),
            batch_records_max: self.log.batch_records_max,
            batch_bytes_max: self.log.batch_bytes_max.as_usize(),
            read_bytes_max: self.log.read_bytes_max.as_usize(),
        }
    }

    /// The embedded log's own configuration.
    pub(crate) fn embedded_log(&self) -> EmbeddedConfig {
        EmbeddedConfig {
            log: self.log(),
            path: self.log_folder(),
            commit_queue_len_max: self.embedded.commit_queue_len_max,
            commit_bytes_max: self.embedded.commit_bytes_max.as_usize(),
            cache_bytes_max: self.embedded.cache_bytes_max.get(),
            memory_table_bytes_max: self.embedded.memory_table_bytes_max.get(),
            disk_reserve_bytes: self.embedded.disk_reserve_bytes.get(),
            reopen_timeout_ms: self.embedded.reopen_timeout_ms,
        }
    }

    /// Where other nodes reach this one when it listens on `address`. A wildcard address is none that they could use: the
    /// machine's name stands in.
    pub(crate) fn advertised(&self, address: SocketAddr) -> String {
        if !self.advertise.is_empty() {
            return self.advertise.clone();
        }
        match (address.ip().is_unspecified(), nix::unistd::gethostname()) {
            (true, Ok(name)) => format!("{}:{}", name.to_string_lossy(), address.port()),
            _ => address.to_string(),
        }
    }

    /// The Kafka log's own configuration; `address` is where other nodes reach this one.
    pub(crate) fn kafka_log(&self, address: &str) -> KafkaConfig {
        self.kafka_log.config(self.log(), &self.kafka, address)
    }
}

/// The keyspace of a namespace: what a keyspace's name cannot have becomes `_`.
fn keyspace_of(namespace: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let name: String = namespace.chars().map(allowed).collect();
    if name.starts_with(|c: char| c.is_ascii_lowercase()) { name } else { format!("ks_{name}") }
}

/// The only switch that is a variable too: what counts as on for the flag counts here.
fn as_a_switch((name, value): (String, String)) -> (String, String) {
    let value = match (name.as_str(), value.to_lowercase().as_str()) {
        ("MILLRACE_DEMO", "1" | "y" | "yes" | "t" | "on") => "true".to_owned(),
        ("MILLRACE_DEMO", "" | "0" | "n" | "no" | "f" | "off") => "false".to_owned(),
        _ => value,
    };
    (name, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn variables<const N: usize>(of: [(&str, &str); N]) -> Vec<(String, String)> {
        of.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    #[test]
    fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
        let file =
            file("namespace = \"file\"\npartitions = 3\nkafka = \"file:1\"\n[http]\nconnections_max = 9\n");
        let flags = Flags {
            config: Some(file.path().to_owned()),
            namespace: Some("flag".to_owned()),
            ..Flags::default()
        };
        let environment = variables([
            ("MILLRACE_NAMESPACE", "environment"),
            ("MILLRACE_PARTITIONS", "4"),
            ("MILLRACE_HOST_TURN_COMMANDS_MAX", "77"),
        ]);
        let config = Config::load(&flags, environment).unwrap();
        assert_eq!(
            (config.namespace.as_str(), config.partitions, config.kafka.as_str()),
            ("flag", 4, "file:1")
        );
        assert_eq!((config.http.connections_max, config.host.turn_commands_max), (9, 77));
        assert_eq!(config.listen, Config::default().listen);
    }

    #[test]
    fn parts_are_named_alike_in_flags_variables_and_files() {
        let file = file("parts = [\"commands-api\", \"query-api\"]\n");
        let from_file = Flags { config: Some(file.path().to_owned()), ..Flags::default() };
        let variable = variables([("MILLRACE_PARTS", "commands-api, query-api")]);
        let flags = Flags {
            parts: Some(vec![Part::CommandsApi, Part::QueryApi]),
            config: from_file.config.clone(),
            ..Flags::default()
        };
        let none = Flags::default();
        for (flags, variables) in [(&from_file, vec![]), (&none, variable), (&flags, vec![])] {
            let config = Config::load(flags, variables).unwrap();
            assert_eq!(config.parts, [Part::CommandsApi, Part::QueryApi]);
        }
        let error = Config::load(&none, variables([("MILLRACE_PARTS", "commands")])).unwrap_err().to_string();
        assert!(error.contains("MILLRACE_PARTS") && error.contains("commands-api"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let file = file("namespace = \"shop\"\nlisten_on = \"127.0.0.1:1\"\n");
        let flags = Flags { config: Some(file.path().to_owned()), ..Flags::default() };
        let error = Config::load(&flags, []).unwrap_err().to_string();
        assert!(error.contains(":2:") && error.contains("listen_on"), "{error}");
    }

    #[test]
    fn what_is_dumped_can_be_read_back_and_hides_kafkas_secrets() {
        let file = file("[kafka_log.properties]\n\"sasl.password\" = \"hunter2\"\n");
        let flags = Flags { config: Some(file.path().to_owned()), ..Flags::default() };
        let config = Config::load(&flags, []).unwrap();
        assert_eq!(config.kafka_log("").properties["sasl.password"], "hunter2");
        let text = service_kit::dump_config(&config).unwrap();
        assert!(text.contains("sasl.password") && !text.contains("hunter2"), "{text}");

        let plain = service_kit::dump_config(&Config::default()).unwrap();
        assert_eq!(service_kit::ConfigFile::parse::<Config>("dump", &plain).unwrap(), Config::default());
    }

    #[test]
    fn the_keyspace_is_named_as_the_namespace_unless_it_is_said() {
        let config =
            Config { cql: "a:1, b:2,".to_owned(), namespace: "Shop-1.eu".to_owned(), ..Config::default() };
        let store = config.cql_store();
        assert_eq!(
            (store.nodes, store.keyspace.as_str()),
            (vec!["a:1".to_owned(), "b:2".to_owned()], "shop_1_eu")
        );
        assert_eq!(keyspace_of("1shop"), "ks_1shop");
        let variable = variables([("MILLRACE_CQL_STORE_KEYSPACE", "views"), ("MILLRACE_CQL", "c:3")]);
        let config = Config::load(&Flags::default(), variable).unwrap();
        assert_eq!((config.cql_store().keyspace.as_str(), config.has_cql()), ("views", true));
    }

    #[test]
    fn both_logs_get_the_same_name_and_limits() {
        let config = Config { namespace: "shop".to_owned(), partitions: 3, ..Config::default() };
        assert_eq!(config.embedded_log().log, config.kafka_log("").log);
        assert_eq!(config.embedded_log().log.partitions, 3);
    }
}
