//! Brokers that can be killed, frozen and brought back with their data.

use std::path::{Path, PathBuf};
use std::{fs, thread};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;

use super::node::Node;
use super::ports::Ports;
use super::{JARS, KIND, down, folder, jars_or_unavailable, progress};
use crate::infra::record::Record;
use crate::{process, workspace};

/// Free ports are only free until somebody else takes them.
const PORT_ATTEMPTS: usize = 3;

/// Brokers from jars: one, or several that are controllers, too, and replicate everything among themselves (all but one
/// must have a record). Each runs in a process group of its own, with a folder, a log and a pid record of its own.
///
/// Brokers are named by their number, from 1. Dropping it kills them and removes their data; their logs stay.
#[derive(Debug)]
pub struct Ensemble {
    libs: PathBuf,
    nodes: Vec<Node>,
}

impl Ensemble {
    /// Starts a fresh instance of this name and waits until every broker serves and knows the others; one that an earlier
    /// run left behind is stopped first. Fails with [`Unavailable`](crate::infra::Unavailable) where there is no JVM.
    pub fn start(name: &str, brokers: u32) -> Result<Self> {
        let folder = folder(&workspace::target_dir(), name)?;
        down(&folder)?;
        Self::start_in(&folder, brokers, false)
    }

    pub(super) fn start_in(folder: &Path, brokers: u32, keep: bool) -> Result<Self> {
        ensure!((1..=9).contains(&brokers), "{brokers} brokers: 1 to 9 can be had");
        jars_or_unavailable()?;
        let libs = JARS.ensure()?;
        let folders: Vec<PathBuf> = match brokers {
            1 => vec![folder.to_owned()],
            _ => (1..=brokers).map(|id| folder.join(id.to_string())).collect(),
        };
        let mut last_error = None;
        for attempt in 0..PORT_ATTEMPTS {
            let mut ensemble = Self { libs: libs.clone(), nodes: nodes(&folders, keep)? };
            match ensemble.launch(keep) {
                Ok(()) => return Ok(ensemble),
                Err(error) if !keep && ensemble.lost_a_port() => {
                    progress(&format!("a port was taken meanwhile (attempt {})", attempt + 1));
                    last_error = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(last_error.context("no attempt was made")?)
    }

    fn launch(&mut self, keep: bool) -> Result<()> {
        let cluster: Vec<Ports> = self.nodes.iter().map(|node| node.ports).collect();
        for node in &self.nodes {
            if !keep {
                node.clear_data()?;
            }
            node.write_settings(&cluster)?;
        }
        let libs = &self.libs;
        thread::scope(|scope| {
            let formats: Vec<_> =
                self.nodes.iter().map(|node| scope.spawn(|| node.format(libs, &cluster))).collect();
            // A panic in there is one here.
            formats.into_iter().try_for_each(|format| format.join().expect("formatting does not panic"))
        })?;
        self.nodes.iter_mut().try_for_each(|node| node.start(libs))?;
        let brokers = self.size();
        self.nodes.iter_mut().try_for_each(|node| node.wait_until_ready(brokers))
    }

    fn lost_a_port(&self) -> bool {
        self.nodes.iter().any(|node| process::tail(&node.log_file(), 60).contains("BindException"))
    }

    /// All brokers' addresses, comma-separated.
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<String> = self.nodes.iter().map(Node::address).collect();
        addresses.join(",")
    }

    /// How many brokers there are, running or not.
    pub fn size(&self) -> u32 {
        self.nodes.iter().map(|node| node.id).max().unwrap_or_default()
    }

    /// The process of a broker; `None` while it does not run.
    pub fn pid(&self, broker: u32) -> Option<i32> {
        self.nodes.iter().find(|node| node.id == broker)?.pid()
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self, broker: u32) -> Result<()> {
        self.node(broker)?.kill()
    }

    /// Starts a killed broker again on its data and ports, without waiting until it serves.
    pub fn begin_again(&mut self, broker: u32) -> Result<()> {
        let libs = self.libs.clone();
        let node = self.node(broker)?;
        ensure!(node.pid().is_none(), "broker {broker} runs already");
        node.start(&libs)
    }

    /// Waits until a broker serves clients.
    pub fn wait_until_ready(&mut self, broker: u32) -> Result<()> {
        self.node(broker)?.wait_until_ready(1)
    }

    /// Starts a killed broker again on its data and ports, and waits until it serves clients.
    pub fn bring_back(&mut self, broker: u32) -> Result<()> {
        self.begin_again(broker)?;
        self.wait_until_ready(broker)
    }

    /// Stops a broker without its knowing (SIGSTOP), as a machine that sleeps.
    pub fn freeze(&mut self, broker: u32) -> Result<()> {
        self.node(broker)?.signal(Signal::SIGSTOP)
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw(&mut self, broker: u32) -> Result<()> {
        self.node(broker)?.signal(Signal::SIGCONT)
    }

    /// Leaves the brokers to [`down`]; returns their addresses.
    pub(super) fn leave_running(mut self) -> String {
        let bootstrap = self.bootstrap();
        self.nodes.iter_mut().for_each(Node::leave_running);
        self.nodes.clear();
        bootstrap
    }

    fn node(&mut self, broker: u32) -> Result<&mut Node> {
        let found = self.nodes.iter_mut().find(|node| node.id == broker);
        found.with_context(|| format!("there is no broker {broker}"))
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            let ended = node
                .kill()
                .and_then(|()| Record::remove(&KIND, &node.folder))
                .and_then(|()| node.clear_data());
            if let Err(error) = ended {
                eprintln!("error: broker {} in {}: {error:#}", node.id, node.folder.display());
            }
        }
    }
}

/// One broker for each folder: on the ports of the last run when its data is kept, on free ones otherwise.
fn nodes(folders: &[PathBuf], keep: bool) -> Result<Vec<Node>> {
    let had_run = |folder: &PathBuf| fs::exists(folder.join("server.properties")).unwrap_or_default();
    let ports = if keep && folders.iter().any(had_run) {
        let last: Option<Vec<Ports>> = folders.iter().map(|folder| Ports::of_last_run(folder)).collect();
        match last {
            Some(ports) => ports,
            None => {
                bail!("the ports of the last run are taken, and its data is bound to them: go without --keep")
            }
        }
    } else {
        Ports::free(folders.len())?
    };
    Ok((1..)
        .zip(folders)
        .zip(ports)
        .map(|((id, folder), ports)| Node::new(id, folder.clone(), ports))
        .collect())
}
