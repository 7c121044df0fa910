//! `broker.json`, `cassandra.json`: what runs in an instance's folder, so that it can be found again and nothing else is
//! stopped.

use std::fmt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::kafka::container;
use crate::process;

/// A kind of server, and how its process is told from others.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// The server's name, and of its address in the record.
    pub(super) name: &'static str,
    /// The record's file.
    pub(super) file: &'static str,
    /// Its main class, part of its command line.
    pub(super) main_class: &'static str,
    /// The settings file in the instance's folder, part of its command line.
    pub(super) settings_file: &'static str,
}

/// What was started, and where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) kind: &'static Kind,
    pub(super) runner: Runner,
    /// Where clients connect.
    pub(super) address: String,
    pub(super) controller_port: Option<u16>,
}

/// Who runs the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Runner {
    /// A process group led by this pid.
    Process { pid: i32 },
    /// A compose project of this name.
    Container { project: String },
}

impl fmt::Display for Runner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { pid } => write!(formatter, "pid {pid}"),
            Self::Container { project } => write!(formatter, "container of {project}"),
        }
    }
}

impl Record {
    pub(super) fn path(kind: &Kind, folder: &Path) -> PathBuf {
        folder.join(kind.file)
    }

    /// `None` when nothing was started, or it was stopped.
    pub(super) fn read(kind: &'static Kind, folder: &Path) -> Result<Option<Self>> {
        let path = Self::path(kind, folder);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let record = Self::parse(kind, &text).with_context(|| {
            format!("{} is not a server's record: look at it, then remove it", path.display())
        })?;
        Ok(Some(record))
    }

    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let runner = match &self.runner {
            Runner::Process { pid } => json!({ "pid": pid }),
            Runner::Container { project } => json!({ "project": project }),
        };
        let record = json!({ self.kind.name: self.address, "controller_port": self.controller_port, "runner": runner });
        let path = Self::path(self.kind, folder);
        fs::write(&path, format!("{record}\n")).with_context(|| format!("cannot write {}", path.display()))
    }

    pub(super) fn remove(kind: &Kind, folder: &Path) -> Result<()> {
        let path = Self::path(kind, folder);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Whether it still runs: for a process, its command line must name this folder's settings file. A pid alone proves
    /// nothing, for pids are used again.
    pub(super) fn runs(&self, folder: &Path) -> bool {
        match &self.runner {
            Runner::Process { pid } => {
                let settings = folder.join(self.kind.settings_file).display().to_string();
                process::command_line(*pid)
                    .is_some_and(|line| line.contains(self.kind.main_class) && line.contains(&settings))
            }
            Runner::Container { project } => container::runs(project, folder),
        }
    }

    fn parse(kind: &'static Kind, text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let address = value[kind.name].as_str()?.to_owned();
        let controller_port = value["controller_port"].as_u64().and_then(|port| u16::try_from(port).ok());
        let runner = match (value["runner"]["pid"].as_i64(), value["runner"]["project"].as_str()) {
            (Some(pid), _) => Runner::Process { pid: i32::try_from(pid).ok().filter(|pid| *pid > 1)? },
            (None, Some(project)) => Runner::Container { project: project.to_owned() },
            (None, None) => return None,
        };
        Some(Self { kind, runner, address, controller_port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infra::kafka::KIND;

    #[test]
    fn what_was_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Record::read(&KIND, dir.path()).unwrap(), None);
        for runner in [Runner::Process { pid: 77 }, Runner::Container { project: "millrace-ci".to_owned() }] {
            let record = Record {
                kind: &KIND,
                runner,
                address: "127.0.0.1:1234".to_owned(),
                controller_port: Some(9),
            };
            record.write(dir.path()).unwrap();
            assert_eq!(Record::read(&KIND, dir.path()).unwrap(), Some(record));
        }
        Record::remove(&KIND, dir.path()).unwrap();
        assert_eq!(Record::read(&KIND, dir.path()).unwrap(), None);
    }

    #[test]
    fn a_record_that_could_stop_the_wrong_process_is_refused() {
        // Group 0 is our own, group 1 everything.
        for pid in [-5, 0, 1] {
            assert_eq!(
                Record::parse(&KIND, &format!(r#"{{"kafka":"a:1","runner":{{"pid":{pid}}}}}"#)),
                None,
                "{pid}"
            );
        }
    }
}
