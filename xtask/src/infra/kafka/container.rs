//! The broker from a container: the `kafka` service of `docker-compose.kafka.yml`, on a port of our choice.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{KIND, READY_POLL_INTERVAL, probe, progress};
use crate::infra::record::{Record, Runner};
use crate::{process, workspace};

/// The image may have to be pulled first.
const COMPOSE_LIMIT: Duration = Duration::from_secs(600);
const PORT_VARIABLE: &str = "MILLRACE_KAFKA_PORT";

/// What is missing to run a container, as the part of a sentence; `None` when an engine answers.
pub(super) fn missing() -> Option<String> {
    if !process::on_path("docker") {
        return Some("docker is missing".to_owned());
    }
    let quiet = |arguments: &[&str]| {
        let mut command = Command::new("docker");
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !quiet(&["info"]) {
        return Some("the docker engine does not run".to_owned());
    }
    (!quiet(&["compose", "version"])).then(|| "docker has no compose plugin".to_owned())
}

pub(super) fn up(folder: &Path, limit: Duration) -> Result<String> {
    let project = project(folder);
    let port = TcpListener::bind(("127.0.0.1", 0)).context("no free loopback port")?.local_addr()?.port();
    let address = format!("127.0.0.1:{port}");
    let record = Record {
        kind: &KIND,
        runner: Runner::Container { project: project.clone() },
        address: address.clone(),
        controller_port: None,
    };
    record.write(folder)?;
    progress(&format!("starting the container on port {port}"));
    let mut command = compose(&project);
    command.env(PORT_VARIABLE, port.to_string()).args(["up", "--detach", "kafka"]);
    let log = folder.join("broker.log");
    let ready = process::run_bounded(&mut command, COMPOSE_LIMIT, &log).and_then(|()| wait(&address, limit));
    if let Err(error) = ready {
        down(&project, folder)?;
        Record::remove(&KIND, folder)?;
        return Err(error);
    }
    Ok(address)
}

pub(super) fn down(project: &str, folder: &Path) -> Result<()> {
    let mut command = compose(project);
    command.args(["down", "--volumes"]);
    process::run_bounded(&mut command, COMPOSE_LIMIT, &folder.join("down.log"))
}

pub(in crate::infra) fn runs(project: &str, _folder: &Path) -> bool {
    let output = compose(project).args(["ps", "--quiet", "kafka"]).stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success() && !output.stdout.trim_ascii().is_empty())
}

fn compose(project: &str) -> Command {
    let mut command = Command::new("docker");
    command.args(["compose", "--project-name", project, "--file"]);
    command.arg(workspace::root().join("docker-compose.kafka.yml"));
    command
}

/// Compose wants lower-case names; the folder's name tells instances apart.
fn project(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name: String =
        name.chars().map(|each| if each.is_ascii_alphanumeric() { each } else { '-' }).collect();
    format!("millrace-infra-{name}")
}

fn wait(address: &str, limit: Duration) -> Result<()> {
    let started = Instant::now();
    loop {
        process::check_interrupt()?;
        match probe(address) {
            Ok(()) => return Ok(()),
            Err(error) if started.elapsed() >= limit => {
                bail!("the container is not ready after {} s: {error:#}", limit.as_secs())
            }
            Err(_) => thread::sleep(READY_POLL_INTERVAL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn project_names_are_what_compose_accepts() {
        assert_eq!(project(Path::new("/build/infra/kafka/CI_2")), "millrace-infra-ci-2");
    }
}
