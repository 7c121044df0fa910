//! A node's settings: templates under `infra/cassandra`, filled in.

use std::path::Path;

/// The settings file, which the command line names.
pub(super) const YAML_FILE: &str = "cassandra.yaml";
pub(super) const LOGBACK_FILE: &str = "logback.xml";

pub(super) const LOGBACK: &str = include_str!("../../../../infra/cassandra/logback.xml");
const YAML: &str = include_str!("../../../../infra/cassandra/cassandra.yaml");
const JVM_OPTIONS: &str = include_str!("../../../../infra/cassandra/jvm.options");

/// The ports of a node: clients, other nodes, other nodes with TLS. The last two have to be named, nobody connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) cql: u16,
    pub(super) storage: u16,
    pub(super) ssl_storage: u16,
}

/// `cassandra.yaml`.
pub(super) fn yaml(ports: Ports) -> String {
    YAML.replace("{port}", &ports.cql.to_string())
        .replace("{storage_port}", &ports.storage.to_string())
        .replace("{ssl_storage_port}", &ports.ssl_storage.to_string())
}

/// The ports in settings made by [`yaml`].
pub(super) fn ports(yaml: &str) -> Option<Ports> {
    let port = |name: &str| {
        yaml.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.trim().parse().ok())
    };
    Some(Ports {
        cql: port("native_transport_port")?,
        storage: port("storage_port")?,
        ssl_storage: port("ssl_storage_port")?,
    })
}

/// The JVM's arguments before the class path, for an instance in `folder`.
pub(super) fn jvm_options(folder: &Path, data_dir: &Path) -> Vec<String> {
    let options = JVM_OPTIONS.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let folder = folder.display().to_string();
    let data_dir = data_dir.display().to_string();
    options.map(|line| line.replace("{folder}", &folder).replace("{data_dir}", &data_dir)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_to_fill_in_and_the_ports_are_found_again() {
        let ports = Ports { cql: 21_042, storage: 21_700, ssl_storage: 21_701 };
        let yaml = yaml(ports);
        let settings: Vec<&str> = yaml.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(settings.iter().all(|line| !line.contains(['{', '}'])), "{yaml}");
        assert!(settings.contains(&"      - seeds: \"127.0.0.1:21700\""));
        assert_eq!(super::ports(&yaml), Some(ports));
        let options = jvm_options(Path::new("/a"), Path::new("/a/data"));
        assert!(options.contains(&"-Dcassandra.config=file:///a/cassandra.yaml".to_owned()), "{options:?}");
        assert!(options.iter().all(|option| option.starts_with('-') && !option.contains(['{', ' '])));
    }
}
