//! A real Apache Cassandra on loopback, from jars: the CQL server to develop and test against.
//!
//! In order: the server that `MILLRACE_TEST_CQL` names; jars fetched once by Maven and run by `java`; otherwise one line
//! that says what is missing. Each instance has a folder with its settings, data, log and a `cassandra.json` that says
//! what runs, so that [`down`] stops that and nothing else.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::daemon::STOP_PATIENCE;
use super::jars::Jars;
use super::record::{Kind, Record, Runner};
use super::{Unavailable, instance};
use crate::{process, workspace};

mod node;
mod probe;
mod settings;

use node::Node;
pub use probe::probe;

/// The environment variable with the address of a CQL server to test against.
pub const ADDRESS_VARIABLE: &str = "MILLRACE_TEST_CQL";

const KIND: Kind = Kind {
    name: "cassandra",
    file: "cassandra.json",
    main_class: "org.apache.cassandra.service.CassandraDaemon",
    settings_file: settings::YAML_FILE,
};

const JARS: Jars =
    Jars { server: KIND.name, pom: include_str!("../../../infra/cassandra/pom.xml"), size: "66 MB" };

/// A node for as long as this lives; it can be killed, frozen and brought back with its data. Dropping it kills it and removes
/// its data; its log stays.
#[derive(Debug)]
pub struct Cassandra {
    libs: PathBuf,
    /// `None`: the server that the environment names, which is not ours to touch.
    node: Option<Node>,
    address: String,
}

impl Cassandra {
    /// The server that the environment names, or a fresh instance of this name; one that an earlier run left behind is
    /// stopped first.
    pub fn start(name: &str) -> Result<Self> {
        match given_address() {
            Some(address) => {
                probe_given(&address)?;
                println!("cassandra {address} ({ADDRESS_VARIABLE})");
                Ok(Self { libs: PathBuf::new(), node: None, address })
            }
            None => Self::start_own(name),
        }
    }

    /// A fresh instance of this name, whatever the environment names: for tests that kill it.
    pub fn start_own(name: &str) -> Result<Self> {
        let folder = folder(&workspace::target_dir(), name)?;
        down(&folder)?;
        let _one_at_a_time = instance::lock(&folder)?;
        let started = Self::start_in(&folder, false)?;
        println!("cassandra {}", started.address);
        Ok(started)
    }

    fn start_in(folder: &Path, keep: bool) -> Result<Self> {
        prepare_own()?;
        let libs = JARS.ensure()?;
        let mut node = Node::new(folder.to_owned(), keep)?;
        let address = node.address();
        if !keep {
            node.clear_data()?;
        }
        node.write_settings()?;
        node.start(&libs)?;
        node.wait_until_ready()?;
        Ok(Self { libs, node: Some(node), address })
    }

    /// Where it serves CQL, `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) -> Result<()> {
        self.own()?.kill()
    }

    /// Starts a killed node again on its data and port, and waits until it serves.
    pub fn bring_back(&mut self) -> Result<()> {
        let libs = self.libs.clone();
        let node = self.own()?;
        node.start(&libs)?;
        node.wait_until_ready()
    }

    /// Stops it without its knowing (SIGSTOP), as a machine that sleeps.
    pub fn freeze(&mut self) -> Result<()> {
        self.own()?.signal(nix::sys::signal::Signal::SIGSTOP)
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw(&mut self) -> Result<()> {
        self.own()?.signal(nix::sys::signal::Signal::SIGCONT)
    }

    fn own(&mut self) -> Result<&mut Node> {
        self.node.as_mut().with_context(|| format!("the server of {ADDRESS_VARIABLE} is not ours to touch"))
    }
}

impl Drop for Cassandra {
    fn drop(&mut self) {
        let Some(node) = &mut self.node else { return };
        let ended =
            node.kill().and_then(|()| Record::remove(&KIND, &node.folder)).and_then(|()| node.clear_data());
        if let Err(error) = ended {
            eprintln!("error: cassandra in {}: {error:#}", node.folder.display());
        }
    }
}

/// The folder of the named instance.
pub fn folder(target_dir: &Path, name: &str) -> Result<PathBuf> {
    instance::folder(target_dir, KIND.name, name)
}

/// The folders of all named instances, in order of name.
pub fn folders(target_dir: &Path) -> Vec<PathBuf> {
    let mut folders = instance::subfolders(&instance::home(target_dir, KIND.name));
    folders.retain(|folder| Record::path(&KIND, folder).exists());
    folders
}

/// The server that the environment names, if it does.
pub fn given_address() -> Option<String> {
    let address = env::var(ADDRESS_VARIABLE).ok()?.trim().to_owned();
    (!address.is_empty()).then_some(address)
}

/// Makes sure that [`up`] will find what it needs, so that a lack of it is told before anything else is done.
pub fn prepare() -> Result<()> {
    if let Some(address) = given_address() {
        return probe_given(&address);
    }
    prepare_own()?;
    JARS.ensure().map(|_| ())
}

fn prepare_own() -> Result<()> {
    let Some(missing) = JARS.missing() else { return Ok(()) };
    Err(Unavailable(format!(
        "no Cassandra can be had here: {missing}; install it, or set {ADDRESS_VARIABLE}=HOST:PORT to a running server"
    ))
    .into())
}

fn probe_given(address: &str) -> Result<()> {
    probe(address).with_context(|| format!("{ADDRESS_VARIABLE}={address} does not answer as a CQL server"))
}

/// Makes sure that the instance runs and is ready; returns its address. One that runs already is used as it is.
pub fn up(folder: &Path, keep: bool) -> Result<String> {
    if let Some(address) = given_address() {
        probe_given(&address)?;
        return Ok(address);
    }
    let _one_at_a_time = instance::lock(folder)?;
    if let Some(record) = Record::read(&KIND, folder)?
        && record.runs(folder)
        && probe(&record.address).is_ok()
    {
        eprintln!("cassandra: already running on {}", record.address);
        return Ok(record.address);
    }
    stop(folder)?;
    let mut started = Cassandra::start_in(folder, keep)?;
    // What was started stays, for `down` to find.
    started.node = None;
    Ok(started.address.clone())
}

/// Stops what [`up`] started in this folder; returns its address if it ran.
pub fn down(folder: &Path) -> Result<Option<String>> {
    if !folder.exists() {
        return Ok(None);
    }
    let _one_at_a_time = instance::lock(folder)?;
    stop(folder)
}

fn stop(folder: &Path) -> Result<Option<String>> {
    let Some(record) = Record::read(&KIND, folder)? else { return Ok(None) };
    let ran = record.runs(folder);
    if let (true, Runner::Process { pid }) = (ran, &record.runner) {
        process::stop_group(*pid, STOP_PATIENCE)?;
    }
    Record::remove(&KIND, folder)?;
    Ok(ran.then_some(record.address))
}

/// One line about what runs in a folder.
pub fn describe(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy();
    match Record::read(&KIND, folder) {
        Ok(Some(record)) if record.runs(folder) => {
            let state = if probe(&record.address).is_ok() { "ready" } else { "runs but does not answer" };
            format!("cassandra {} {state}, {} ({name})", record.address, record.runner)
        }
        Ok(Some(record)) => {
            format!("cassandra {} is gone without having been stopped ({name})", record.address)
        }
        Ok(None) => format!("cassandra was not started ({name})"),
        Err(error) => format!("cassandra: unknown: {error:#} ({name})"),
    }
}
