//! One broker process: its folder, its settings, its start and its end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use super::ports::Ports;
use super::{KIND, probe, progress, settings};
use crate::infra::daemon;
use crate::infra::jars::class_path;
use crate::infra::record::{Record, Runner};
use crate::process;

const FORMAT_LIMIT: Duration = Duration::from_secs(60);

/// A broker, and where it lives.
#[derive(Debug)]
pub(super) struct Node {
    /// Its number in the cluster, from 1.
    pub(super) id: u32,
    pub(super) folder: PathBuf,
    pub(super) ports: Ports,
    child: Option<Child>,
}

impl Node {
    pub(super) fn new(id: u32, folder: PathBuf, ports: Ports) -> Self {
        Self { id, folder, ports, child: None }
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.broker)
    }

    pub(super) fn log_file(&self) -> PathBuf {
        self.folder.join("broker.log")
    }

    fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn properties(&self) -> PathBuf {
        self.folder.join("server.properties")
    }

    /// Writes its settings as one of the brokers with these ports, in the order of their numbers.
    pub(super) fn write_settings(&self, cluster: &[Ports]) -> Result<()> {
        fs::create_dir_all(&self.folder).with_context(|| format!("cannot make {}", self.folder.display()))?;
        let properties = settings::server_properties(self.id, cluster, &self.data_dir());
        fs::write(self.properties(), properties)?;
        fs::write(self.folder.join("log4j2.yaml"), settings::LOG4J2)?;
        Ok(())
    }

    /// Formats its storage, unless there is data.
    pub(super) fn format(&self, libs: &Path, cluster: &[Ports]) -> Result<()> {
        if self.data_dir().join("meta.properties").exists() {
            return Ok(());
        }
        let mut format = Command::new("java");
        format.args(["-Xmx128m", "-cp", &class_path(libs), "kafka.tools.StorageTool", "format"]);
        match cluster {
            [_] => format.arg("--standalone"),
            cluster => format.arg("--initial-controllers").arg(settings::initial_controllers(cluster)),
        };
        format.args(["-t", settings::CLUSTER_ID, "-c"]).arg(self.properties());
        process::run_bounded(&mut format, FORMAT_LIMIT, &self.folder.join("format.log"))
    }

    /// Removes the data of the last run.
    pub(super) fn clear_data(&self) -> Result<()> {
        daemon::clear_data("kafka", &self.data_dir(), &["meta.properties", "bootstrap.checkpoint"])
    }

    /// Starts the process and notes it, so that `down` finds it whatever happens to us.
    pub(super) fn start(&mut self, libs: &Path) -> Result<()> {
        let log = self.log_file();
        progress(&format!("starting on port {} (log: {})", self.ports.broker, log.display()));
        if log.exists() {
            fs::rename(&log, self.folder.join("broker.last.log"))?;
        }
        let mut broker = Command::new("java");
        broker
            .args(["-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-Xss512k", "-XX:MaxDirectMemorySize=128m"])
            .arg(format!("-Dlog4j2.configurationFile={}", self.folder.join("log4j2.yaml").display()))
            .args(["-cp", &class_path(libs), "kafka.Kafka"])
            .arg(self.properties());
        let child = process::spawn_daemon(&mut broker, &log)?;
        let record = Record {
            kind: &KIND,
            runner: Runner::Process { pid: child.id().cast_signed() },
            address: self.address(),
            controller_port: Some(self.ports.controller),
        };
        self.child = Some(child);
        record.write(&self.folder)
    }

    /// Waits until it serves clients and knows of at least so many brokers.
    pub(super) fn wait_until_ready(&mut self, brokers: u32) -> Result<()> {
        let (log, address) = (self.log_file(), self.address());
        let child = self.child.as_mut().context("it was not started")?;
        daemon::wait_until_ready("kafka", child, &address, &log, || {
            // The log line comes last in the broker's start; the answer proves that clients are served.
            let has_started = process::tail(&log, 200).contains("Kafka Server started");
            has_started && probe::brokers(&address).is_ok_and(|known| known >= brokers)
        })
    }

    pub(super) fn pid(&self) -> Option<i32> {
        self.child.as_ref().map(|child| child.id().cast_signed())
    }

    /// Sends a signal to the running process.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().with_context(|| format!("broker {} does not run", self.id))?;
        process::signal_group(pid, signal)
    }

    /// `kill -9`, and waits for the end. One that does not run stays so.
    pub(super) fn kill(&mut self) -> Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        process::signal_group(pid, Signal::SIGKILL)?;
        if let Some(mut child) = self.child.take() {
            child.wait().context("cannot wait for a killed broker")?;
        }
        Ok(())
    }

    /// Leaves the process to whoever reads the record.
    pub(super) fn leave_running(&mut self) {
        self.child = None;
    }
}
