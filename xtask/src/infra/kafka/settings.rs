//! The broker's settings: one template, for the launcher here and as variables in `docker-compose.kafka.yml`.

use std::path::Path;

use super::ports::Ports;

/// How the broker logs.
pub(super) const LOG4J2: &str = include_str!("../../../../infra/kafka/log4j2.yaml");

/// 16 bytes in Kafka's base64; a fixed one, for nothing depends on it and kept data must fit it.
pub(super) const CLUSTER_ID: &str = "MillraceTestBroker000w";

const TEMPLATE: &str = include_str!("../../../../infra/kafka/server.properties");

/// Where several brokers differ from one: everything is on each, and all but one of them must have it.
const REPLICATED: [&str; 3] = [
    "offsets.topic.replication.factor",
    "transaction.state.log.replication.factor",
    "share.coordinator.state.topic.replication.factor",
];
const IN_SYNC: [&str; 2] = ["transaction.state.log.min.isr", "share.coordinator.state.topic.min.isr"];

/// The settings of broker `id` (from 1) of those with these ports.
pub(super) fn server_properties(id: u32, cluster: &[Ports], data_dir: &Path) -> String {
    let ports = cluster[id as usize - 1];
    let properties = TEMPLATE
        .replace("{port}", &ports.broker.to_string())
        .replace("{controller_port}", &ports.controller.to_string())
        .replace("{data_dir}", &data_dir.display().to_string());
    let brokers = cluster.len();
    if brokers == 1 {
        return properties;
    }
    let controllers: Vec<String> =
        cluster.iter().map(|ports| format!("127.0.0.1:{}", ports.controller)).collect();
    let mut differences =
        vec![("node.id", id.to_string()), ("controller.quorum.bootstrap.servers", controllers.join(","))];
    differences.extend(REPLICATED.map(|name| (name, brokers.to_string())));
    differences.extend(IN_SYNC.map(|name| (name, (brokers - 1).to_string())));
    let line = |line: &str| {
        let differs = differences.iter().find(|(name, _)| line.split('=').next() == Some(*name));
        differs.map_or_else(|| format!("{line}\n"), |(name, value)| format!("{name}={value}\n"))
    };
    properties.lines().map(line).collect()
}

/// What each of several brokers is formatted with: all of them, with fixed names for their folders.
pub(super) fn initial_controllers(cluster: &[Ports]) -> String {
    let controllers = (1..).zip(cluster).map(|(id, ports): (u32, _)| {
        // 16 bytes in Kafka's base64.
        format!("{id}@127.0.0.1:{}:MillraceDirectory000{id}A", ports.controller)
    });
    controllers.collect::<Vec<_>>().join(",")
}

/// The broker's and the controller's port in settings made by [`server_properties`].
pub(super) fn ports(properties: &str) -> Option<(u16, u16)> {
    let listeners = properties.lines().find_map(|line| line.strip_prefix("listeners="))?;
    let mut ports = listeners.split(',').map(|listener| listener.rsplit(':').next()?.parse().ok());
    Some((ports.next()??, ports.next()??))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const COMPOSE: &str = include_str!("../../../../docker-compose.kafka.yml");
    const POM: &str = include_str!("../../../../infra/kafka/pom.xml");

    const PORTS: Ports = Ports { broker: 19092, controller: 19093 };

    /// Where the two must differ: a container has other addresses and folders than a loopback.
    const ADDRESSES: [&str; 6] = [
        "advertised.listeners",
        "controller.quorum.bootstrap.servers",
        "controller.quorum.voters",
        "listener.security.protocol.map",
        "listeners",
        "log.dirs",
    ];

    /// `KAFKA_NODE_ID: "1"` → `node.id`, `1`: the image's own rule. Its JVM options are not settings.
    fn settings_of_compose(compose: &str) -> BTreeMap<String, String> {
        let variables =
            compose.lines().filter_map(|line| line.trim().strip_prefix("KAFKA_")?.split_once(": "));
        let settings = variables.filter(|(name, _)| *name != "HEAP_OPTS");
        let settings = settings.map(|(name, value)| (name.to_lowercase().replace('_', "."), value));
        settings.map(|(name, value)| (name, value.trim_matches('"').to_owned())).collect()
    }

    fn settings_of_template(template: &str) -> BTreeMap<String, String> {
        let lines = template.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn differences(compose: &str, template: &str) -> Vec<String> {
        let (container, process) = (settings_of_compose(compose), settings_of_template(template));
        let names: BTreeSet<&String> = container.keys().chain(process.keys()).collect();
        let compared = names.into_iter().filter(|name| !ADDRESSES.contains(&name.as_str()));
        compared.filter(|name| container.get(*name) != process.get(*name)).cloned().collect()
    }

    #[test]
    fn the_container_and_the_process_have_the_same_settings() {
        assert_eq!(differences(COMPOSE, TEMPLATE), Vec::<String>::new());
        assert!(settings_of_compose(COMPOSE).len() > 15, "the file is no longer read as it is written");
    }

    #[test]
    fn a_setting_that_differs_or_is_missing_on_one_side_is_found() {
        let compose =
            "      KAFKA_NODE_ID: \"1\"\n      KAFKA_NUM_IO_THREADS: \"2\"\n      KAFKA_LOG_DIRS: \"/a\"\n";
        assert_eq!(differences(compose, "node.id=1\nnum.io.threads=2\nlog.dirs={x}"), Vec::<String>::new());
        assert_eq!(differences(compose, "node.id=2\nnum.io.threads=2"), ["node.id"]);
        assert_eq!(differences(compose, "node.id=1"), ["num.io.threads"]);
        assert_eq!(
            differences(compose, "node.id=1\nnum.io.threads=2\nmessage.max.bytes=9"),
            ["message.max.bytes"]
        );
    }

    #[test]
    fn the_container_and_the_process_are_the_same_release_and_cluster() {
        let version = POM.split("<artifactId>kafka_2.13</artifactId>").nth(1).unwrap();
        let version = version.split("<version>").nth(1).unwrap().split('<').next().unwrap();
        assert!(COMPOSE.contains(&format!("image: apache/kafka:{version}\n")), "{version}");
        assert!(COMPOSE.contains(&format!("CLUSTER_ID: \"{CLUSTER_ID}\"")));
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        let properties = server_properties(1, &[PORTS], Path::new("/data"));
        let settings: Vec<&str> = properties.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(settings.iter().all(|line| !line.contains(['{', '}'])), "{properties}");
        assert!(settings.contains(&"log.dirs=/data"));
        assert_eq!(ports(&properties), Some((19092, 19093)));
    }

    #[test]
    fn of_three_brokers_each_has_everything_and_two_must_have_it() {
        let cluster = [1, 3, 5].map(|port| Ports { broker: port, controller: port + 1 });
        let properties = server_properties(2, &cluster, Path::new("/data"));
        let settings = settings_of_template(&properties);
        let value = |name: &str| settings[name].as_str();
        assert_eq!(value("node.id"), "2");
        assert_eq!(value("listeners"), "BROKER://127.0.0.1:3,CONTROLLER://127.0.0.1:4");
        assert_eq!(value("controller.quorum.bootstrap.servers"), "127.0.0.1:2,127.0.0.1:4,127.0.0.1:6");
        assert!(
            REPLICATED.iter().all(|name| value(name) == "3") && IN_SYNC.iter().all(|name| value(name) == "2")
        );
        assert_eq!(settings.len(), settings_of_template(TEMPLATE).len());
        let first = initial_controllers(&cluster);
        assert!(first.starts_with("1@127.0.0.1:2:MillraceDirectory0001A,2@"), "{first}");
    }
}
