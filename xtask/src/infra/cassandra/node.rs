//! The process of a node: its folder, its settings, its start and its end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use super::settings::{self, Ports};
use super::{KIND, probe};
use crate::infra::jars::class_path;
use crate::infra::record::{Record, Runner};
use crate::infra::{daemon, ports};
use crate::process;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) folder: PathBuf,
    ports: Ports,
    child: Option<Child>,
}

impl Node {
    /// On the ports of the last run when its data is kept and they are free, on free ones otherwise.
    pub(super) fn new(folder: PathBuf, keep: bool) -> Result<Self> {
        let last = fs::read_to_string(folder.join(settings::YAML_FILE)).ok();
        let last = last.and_then(|yaml| settings::ports(&yaml)).filter(|last| {
            keep && [last.cql, last.storage, last.ssl_storage].into_iter().all(ports::is_free)
        });
        let ports = match last {
            Some(ports) => ports,
            None => {
                let free = ports::free(3)?;
                Ports { cql: free[0], storage: free[1], ssl_storage: free[2] }
            }
        };
        Ok(Self { folder, ports, child: None })
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.cql)
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("cassandra.log")
    }

    fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(super) fn write_settings(&self) -> Result<()> {
        fs::write(self.folder.join(settings::YAML_FILE), settings::yaml(self.ports))?;
        fs::write(self.folder.join(settings::LOGBACK_FILE), settings::LOGBACK)?;
        Ok(())
    }

    /// Removes the data of the last run.
    pub(super) fn clear_data(&self) -> Result<()> {
        daemon::clear_data(KIND.name, &self.data_dir(), &["commitlog", "data"])
    }

    /// Starts the process and notes it, so that `down` finds it whatever happens to us.
    pub(super) fn start(&mut self, libs: &Path) -> Result<()> {
        ensure!(self.child.is_none(), "it runs already");
        let log = self.log_file();
        eprintln!("cassandra: starting on port {} (log: {})", self.ports.cql, log.display());
        if log.exists() {
            fs::rename(&log, self.folder.join("cassandra.last.log"))?;
        }
        let mut command = Command::new("java");
        command.args(settings::jvm_options(&self.folder, &self.data_dir()));
        command.args(["-cp", &class_path(libs), KIND.main_class]);
        let child = process::spawn_daemon(&mut command, &log)?;
        let record = Record {
            kind: &KIND,
            runner: Runner::Process { pid: child.id().cast_signed() },
            address: self.address(),
            controller_port: None,
        };
        self.child = Some(child);
        record.write(&self.folder)
    }

    /// Waits until it serves clients.
    pub(super) fn wait_until_ready(&mut self) -> Result<()> {
        let (log, address) = (self.log_file(), self.address());
        let child = self.child.as_mut().context("it was not started")?;
        daemon::wait_until_ready(KIND.name, child, &address, &log, || probe(&address).is_ok())
    }

    /// Sends a signal to the running process.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().context("it does not run")?;
        process::signal_group(child.id().cast_signed(), signal)
    }

    /// `kill -9`, and waits for the end. One that does not run stays so.
    pub(super) fn kill(&mut self) -> Result<()> {
        if self.child.is_some() {
            self.signal(Signal::SIGKILL)?;
        }
        match self.child.take() {
            Some(mut child) => child.wait().map(|_| ()).context("cannot wait for a killed node"),
            None => Ok(()),
        }
    }
}
