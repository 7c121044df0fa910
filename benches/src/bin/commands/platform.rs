//! The real `millrace`, started on a folder of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::server::{Server, free_address};

/// Which log it runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Embedded,
    /// A broker at `host:port`.
    Kafka(String),
}

impl Shape {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Kafka(_) => "kafka",
        }
    }
}

/// Which parts of it run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parts {
    /// The write side alone.
    Commands,
    /// The write side and all projectors. Without the process managers: the load plays their part.
    Projectors,
    /// Everything, as `millrace up` is.
    All,
}

impl Parts {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Commands => "commands-api",
            Self::Projectors => "with projectors",
            Self::All => "everything",
        }
    }

    fn flag(self) -> &'static [&'static str] {
        match self {
            Self::Commands => &["--parts", "commands-api"],
            Self::Projectors => &["--parts", "commands-api,projector,query-api"],
            Self::All => &[],
        }
    }
}

/// Where programs and folders are.
#[derive(Debug)]
pub(crate) struct Place {
    /// The `millrace` that is measured.
    pub(crate) program: PathBuf,
    /// Folders are made in here, and removed with it.
    pub(crate) folder: tempfile::TempDir,
    /// Makes folders and namespaces different within one process, and between processes.
    pub(crate) serial: std::cell::Cell<u32>,
}

impl Place {
    /// `program` by default is the one beside this one, `parent` the folder of both: on a disk, as a build is.
    pub(crate) fn new(program: Option<PathBuf>, parent: Option<PathBuf>) -> anyhow::Result<Self> {
        let ours = std::env::current_exe().context("where is this program?")?;
        let beside = ours.parent().context("a program is in a folder")?;
        let program = program.unwrap_or_else(|| beside.join("millrace"));
        anyhow::ensure!(
            program.is_file(),
            "{} is missing: `cargo build --release -p millrace` makes it",
            program.display()
        );
        let parent = parent.unwrap_or_else(|| beside.to_owned());
        let folder = tempfile::Builder::new().prefix("bench-commands-").tempdir_in(&parent)?;
        Ok(Self { program: std::path::absolute(program)?, folder, serial: std::cell::Cell::new(0) })
    }

    /// Starts it with an empty log.
    pub(crate) fn start(&self, shape: &Shape, parts: Parts) -> anyhow::Result<Platform> {
        self.serial.set(self.serial.get() + 1);
        let folder = self.folder.path().join(format!("millrace-{}", self.serial.get()));
        let namespace = format!("bench-{}-{}", std::process::id(), self.serial.get());
        std::fs::create_dir_all(&folder)?;
        Platform::launch(&self.program, folder, namespace, shape.clone(), parts)
    }
}

/// A running `millrace`.
pub(crate) struct Platform {
    pub(crate) server: Server,
    /// From its start to its first "ready".
    pub(crate) ready_after: Duration,
    program: PathBuf,
    folder: PathBuf,
    namespace: String,
    shape: Shape,
    parts: Parts,
}

impl Platform {
    fn launch(
        program: &Path,
        folder: PathBuf,
        namespace: String,
        shape: Shape,
        parts: Parts,
    ) -> anyhow::Result<Self> {
        let address = free_address()?;
        let mut command = Command::new(program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MILLRACE_")) {
            command.env_remove(name);
        }
        // Away from any millrace.toml of whoever measures.
        command.current_dir(&folder);
        command.arg("up").args(["--listen", &address.to_string(), "--data-dir", "data"]).args(parts.flag());
        if let Shape::Kafka(bootstrap) = &shape {
            command.args(["--kafka", bootstrap, "--namespace", &namespace]);
        }
        let (server, ready_after) = Server::start(&mut command, address, &folder.join("stderr.log"))?;
        Ok(Self { server, ready_after, program: program.to_owned(), folder, namespace, shape, parts })
    }

    /// Stops it in order and starts it again on the same log and folder. Why it did not stop in order, if it did not: what
    /// the next start takes is still a figure.
    pub(crate) fn restart(self) -> anyhow::Result<(Self, Option<anyhow::Error>)> {
        let Self { server, program, folder, namespace, shape, parts, .. } = self;
        let stopped = server.stop();
        Ok((Self::launch(&program, folder, namespace, shape, parts)?, stopped.err()))
    }

    /// Stops it in order and removes its folder.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        self.server.stop()?;
        std::fs::remove_dir_all(&self.folder)
            .with_context(|| format!("cannot remove {}", self.folder.display()))
    }

    /// Events that are in the log and not yet in the views; 0 without a projector.
    pub(crate) fn lag_events(&self) -> anyhow::Result<u64> {
        let status: serde_json::Value = serde_json::from_str(&self.server.get("/admin/v1/status")?)?;
        let partitions = status["lag"].as_array().context("a status without lag")?;
        Ok(partitions.iter().filter_map(|partition| partition["lag_events"].as_u64()).sum())
    }
}
