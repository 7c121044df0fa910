//! A real Apache Kafka broker on loopback: from jars where there is a JVM, from a container where there is an engine.
//!
//! In order: the broker that `MILLRACE_TEST_KAFKA` names; jars fetched once by Maven and run by `java`; the `kafka`
//! service of `docker-compose.kafka.yml`; otherwise one line that says what is missing. Each instance has a folder with
//! its settings, data, log and a `broker.json` that says what runs, so that [`down`] stops that and nothing else; of
//! several brokers each has a folder of its own within it. [`Ensemble`] is for tests that kill brokers.

use std::path::{Path, PathBuf};
use std::{env, iter};

use anyhow::{Context, Result};

use super::daemon::{READY_LIMIT, READY_POLL_INTERVAL, STOP_PATIENCE};
use super::jars::Jars;
use super::record::{Kind, Record, Runner};
use super::{Unavailable, instance};
use crate::process;

mod broker;
pub(super) mod container;
mod ensemble;
mod node;
mod ports;
mod probe;
mod settings;

pub use broker::Broker;
pub use ensemble::Ensemble;
pub use probe::probe;

/// The environment variable with the bootstrap address of a broker to test against.
pub const ADDRESS_VARIABLE: &str = "MILLRACE_TEST_KAFKA";

/// What runs a broker.
pub(super) const KIND: Kind = Kind {
    name: "kafka",
    file: "broker.json",
    main_class: "kafka.Kafka",
    settings_file: "server.properties",
};

const JARS: Jars =
    Jars { server: KIND.name, pom: include_str!("../../../infra/kafka/pom.xml"), size: "44 MB" };

/// How to start an instance.
#[derive(Debug, Clone)]
pub struct Options {
    /// The instance's own folder, absolute; made when it isn't there.
    pub folder: PathBuf,
    /// How many brokers it has, at least 1.
    pub brokers: u32,
    /// Whether the data of the last run stays.
    pub keep: bool,
}

/// What [`down`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It ran on this address (these, comma-separated) and has ended.
    Stopped(String),
    /// There was nothing of ours to stop.
    WasNotRunning,
}

/// The folder of the named instance; names are letters, digits, `-` and `_`, and `libs` is taken by the jars.
pub fn folder(target_dir: &Path, name: &str) -> Result<PathBuf> {
    instance::folder(target_dir, KIND.name, name)
}

/// The folders of all named instances, in order of name.
pub fn folders(target_dir: &Path) -> Vec<PathBuf> {
    let mut folders = instance::subfolders(&instance::home(target_dir, KIND.name));
    folders.retain(|folder| !broker_folders(folder).is_empty());
    folders
}

/// Where brokers of an instance were started: its own folder, or one within it for each.
fn broker_folders(folder: &Path) -> Vec<PathBuf> {
    let all = iter::once(folder.to_owned()).chain(instance::subfolders(folder));
    all.filter(|folder| Record::path(&KIND, folder).exists()).collect()
}

/// The broker that the environment names, if it does.
pub fn given_address() -> Option<String> {
    env::var(ADDRESS_VARIABLE)
        .ok()
        .map(|address| address.trim().to_owned())
        .filter(|address| !address.is_empty())
}

/// Makes sure that the instance runs and is ready; returns its bootstrap address. One that runs already is used as it is.
pub fn up(options: &Options) -> Result<String> {
    if let Some(address) = given_address() {
        probe_given(&address)?;
        return Ok(address);
    }
    let _one_at_a_time = instance::lock(&options.folder)?;
    if let Some(address) = running(options)? {
        progress(&format!("already running on {address}"));
        return Ok(address);
    }
    stop_all(&options.folder)?;
    match source(options.brokers)? {
        Source::Jars => {
            let ensemble = Ensemble::start_in(&options.folder, options.brokers, options.keep)?;
            Ok(ensemble.leave_running())
        }
        Source::Container => container::up(&options.folder, READY_LIMIT),
    }
}

/// The bootstrap address of an instance of which every broker runs and answers.
fn running(options: &Options) -> Result<Option<String>> {
    let mut addresses = Vec::new();
    for folder in broker_folders(&options.folder) {
        let Some(record) = Record::read(&KIND, &folder)? else { continue };
        if !record.runs(&folder) || probe(&record.address).is_err() {
            return Ok(None);
        }
        addresses.push(record.address);
    }
    Ok((addresses.len() == options.brokers as usize).then(|| addresses.join(",")))
}

/// Makes sure that [`up`] will find what it needs, so that a lack of it is told before anything else is done.
pub fn prepare() -> Result<()> {
    if let Some(address) = given_address() {
        return probe_given(&address);
    }
    match source(1)? {
        Source::Jars => JARS.ensure().map(|_| ()),
        Source::Container => Ok(()),
    }
}

/// The same for an [`Ensemble`], which is always of our own.
pub fn prepare_ensemble() -> Result<()> {
    jars_or_unavailable()?;
    JARS.ensure().map(|_| ())
}

fn jars_or_unavailable() -> Result<()> {
    let Some(missing) = JARS.missing() else { return Ok(()) };
    Err(Unavailable(format!("brokers that can be killed need a JVM here: {missing}")).into())
}

/// Where a broker of our own can come from.
enum Source {
    Jars,
    Container,
}

fn source(brokers: u32) -> Result<Source> {
    let Some(no_jars) = JARS.missing() else { return Ok(Source::Jars) };
    if brokers > 1 {
        return Err(Unavailable(format!("{brokers} brokers need a JVM here: {no_jars}")).into());
    }
    let Some(no_engine) = container::missing() else { return Ok(Source::Container) };
    Err(Unavailable(format!(
        "no Kafka can be had here: {no_jars}, and {no_engine}; install one of them, or set {ADDRESS_VARIABLE}=HOST:PORT to a \
         running broker"
    ))
    .into())
}

fn probe_given(address: &str) -> Result<()> {
    probe(address).with_context(|| format!("{ADDRESS_VARIABLE}={address} does not answer as a Kafka broker"))
}

/// Stops what [`up`] started in this folder. A process that took over a pid since is not touched.
pub fn down(folder: &Path) -> Result<Stopped> {
    if !folder.exists() {
        return Ok(Stopped::WasNotRunning);
    }
    let _one_at_a_time = instance::lock(folder)?;
    let addresses = stop_all(folder)?;
    Ok(if addresses.is_empty() { Stopped::WasNotRunning } else { Stopped::Stopped(addresses.join(",")) })
}

/// One line about what runs in a folder.
pub fn describe(folder: &Path) -> String {
    let brokers: Vec<String> = broker_folders(folder).iter().map(|folder| describe_broker(folder)).collect();
    let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy();
    match brokers.is_empty() {
        true => format!("kafka was not started ({name})"),
        false => format!("kafka {} ({name})", brokers.join(", ")),
    }
}

fn describe_broker(folder: &Path) -> String {
    match Record::read(&KIND, folder) {
        Ok(Some(record)) if record.runs(folder) => {
            let state = if probe(&record.address).is_ok() { "ready" } else { "runs but does not answer" };
            format!("{} {state}, {}", record.address, record.runner)
        }
        Ok(Some(record)) => format!("{} is gone without having been stopped", record.address),
        Ok(None) => "was not started".to_owned(),
        Err(error) => format!("unknown: {error:#}"),
    }
}

/// Stops every broker of an instance; returns the addresses of those that ran.
fn stop_all(folder: &Path) -> Result<Vec<String>> {
    let mut addresses = Vec::new();
    for folder in broker_folders(folder) {
        let Some(record) = Record::read(&KIND, &folder)? else { continue };
        let ran = record.runs(&folder);
        match &record.runner {
            Runner::Process { pid } if ran => process::stop_group(*pid, STOP_PATIENCE)?,
            Runner::Process { .. } => {}
            Runner::Container { project } => container::down(project, &folder)?,
        }
        Record::remove(&KIND, &folder)?;
        if ran {
            addresses.push(record.address);
        }
    }
    Ok(addresses)
}

fn progress(message: &str) {
    eprintln!("kafka: {message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stopping_leaves_alone_a_process_that_took_over_the_pid() {
        let dir = tempfile::tempdir().unwrap();
        let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let record = Record {
            kind: &KIND,
            runner: Runner::Process { pid: other.id().cast_signed() },
            address: "127.0.0.1:1".to_owned(),
            controller_port: None,
        };
        record.write(dir.path()).unwrap();
        assert_eq!(down(dir.path()).unwrap(), Stopped::WasNotRunning);
        assert!(other.try_wait().unwrap().is_none(), "a process of somebody else was stopped");
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
