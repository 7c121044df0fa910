//! The broker's settings: one template, for the launcher here and as variables in `docker-compose.kafka.yml`.

use std::path::Path;

/// How the broker logs.
pub(super) const LOG4J2: &str = include_str!("../../../../infra/kafka/log4j2.yaml");

/// 16 bytes in Kafka's base64; a fixed one, for nothing depends on it and kept data must fit it.
pub(super) const CLUSTER_ID: &str = "MillraceTestBroker000w";

const TEMPLATE: &str = include_str!("../../../../infra/kafka/server.properties");

/// The settings of one instance.
pub(super) fn server_properties(port: u16, controller_port: u16, data_dir: &Path) -> String {
    TEMPLATE
        .replace("{port}", &port.to_string())
        .replace("{controller_port}", &controller_port.to_string())
        .replace("{data_dir}", &data_dir.display().to_string())
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
        let properties = server_properties(19092, 19093, Path::new("/data"));
        let settings: Vec<&str> = properties.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(settings.iter().all(|line| !line.contains(['{', '}'])), "{properties}");
        assert!(settings.contains(&"log.dirs=/data"));
        assert_eq!(ports(&properties), Some((19092, 19093)));
    }
}
