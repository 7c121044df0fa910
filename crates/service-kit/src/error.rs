//! What can go wrong in running a service, apart from its work.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::{fmt, io};

/// The error of a task's body: anything that `?` can turn into a boxed error (thiserror enums, `anyhow::Error`, text).
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// A failure of the machinery around a service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A task that the process cannot do without returned an error.
    #[error("task {name} failed")]
    TaskFailed {
        /// The name that the task was spawned under.
        name: String,
        /// What the task returned.
        #[source]
        source: BoxError,
    },
    /// A task panicked.
    #[error("task {name} panicked: {message}")]
    TaskPanicked {
        /// The name that the task was spawned under.
        name: String,
        /// The panic's message.
        message: String,
    },
    /// Tasks were still running when the time for them was over.
    #[error("tasks did not end in time: {}", .names.join(", "))]
    TasksUnfinished {
        /// Their names, sorted.
        names: Vec<String>,
    },
    /// A step of the shutdown failed, panicked, or took too long.
    #[error("shutdown step {name} failed in phase {phase}")]
    ShutdownStep {
        /// The name that the step was registered under.
        name: String,
        /// The phase it belongs to.
        phase: crate::Phase,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The operating system refused the signal handlers.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// The configuration file cannot be read.
    #[error("cannot read the configuration file {}", .path.display())]
    ConfigUnreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The configuration holds something it may not hold.
    #[error("{}", config_place(.origin, *.line, *.column, .key, .message))]
    ConfigInvalid {
        /// The file, or the layer ("environment", "flags") that holds it.
        origin: String,
        /// The line in the file, first is 1; none outside files.
        line: Option<usize>,
        /// The column in the file, first is 1; none outside files.
        column: Option<usize>,
        /// The dotted key; empty for a syntax error.
        key: String,
        /// What is wrong with it.
        message: String,
    },
    /// A configuration cannot be written as TOML.
    #[error("cannot print the configuration")]
    ConfigUnprintable(#[source] toml::ser::Error),
    /// The log filter is not a valid `tracing` directive list.
    #[error("the log filter {filter:?} is invalid: {message}")]
    LogFilter {
        /// The filter as given.
        filter: String,
        /// What is wrong with it.
        message: String,
    },
    /// The log format is neither `text` nor `json`.
    #[error("the log format {0:?} is neither text nor json")]
    LogFormat(String),
    /// Fail points cannot be armed as asked.
    #[error("the fail point {point:?} cannot be armed: {message}")]
    FailPoints {
        /// The point as given.
        point: String,
        /// What is wrong with it.
        message: String,
    },
    /// Another metrics recorder is installed in this process.
    #[error("another metrics recorder is installed already")]
    MetricsTaken,
    /// Another process listens on the address.
    #[error("address {address} is in use")]
    AddressInUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The operating system refused the address for another reason.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// What the operator can do about it, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::AddressInUse { .. } => Some(
                "stop the process that listens there, or choose another address (port 0 picks a free one)",
            ),
            Self::Bind { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("ports below 1024 need privileges: choose a higher one")
            }
            Self::Bind { source, .. } if source.kind() == io::ErrorKind::AddrNotAvailable => {
                Some("the address belongs to no interface of this machine")
            }
            Self::ConfigInvalid { .. } => Some("--dump-config prints every key with its value"),
            Self::FailPoints { .. } => Some("MILLRACE_FAIL_POINTS is for tests: unset it"),
            Self::LogFilter { .. } => Some("examples: info · debug · info,event_log=trace"),
            _ => None,
        }
    }
}

/// `path:line:column: key: message`, without the parts that are not known.
fn config_place(
    origin: &str,
    line: Option<usize>,
    column: Option<usize>,
    key: &str,
    message: &str,
) -> String {
    let mut text = origin.to_owned();
    for number in [line, column].into_iter().flatten() {
        text.push_str(&format!(":{number}"));
    }
    if !key.is_empty() {
        text.push_str(&format!(": key `{key}`"));
    }
    format!("{text}: {message}")
}

/// Prints an error and its sources as `outer: middle: inner`.
pub struct Chain<'a>(pub &'a (dyn StdError + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            write!(f, ": {error}")?;
            next = error.source();
        }
        Ok(())
    }
}

/// The text that a panic was raised with.
pub(crate) fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&'static str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_names_every_source_once() {
        let error = Error::TaskFailed {
            name: "shard-0".into(),
            source: Box::new(Error::Signals(io::Error::other("no more handlers"))),
        };
        assert_eq!(
            Chain(&error).to_string(),
            "task shard-0 failed: cannot listen for signals: no more handlers"
        );
    }
}
