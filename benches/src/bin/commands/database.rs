//! The peer's database: it rests while others are measured.
//!
//! PostgreSQL goes on for minutes after a load, with checkpoints and vacuum, and would be measured with everybody else. So
//! all its processes are stopped (SIGSTOP) but while the peer is measured.

use nix::sys::signal::Signal;
use xtask::process::signal_family;

/// A PostgreSQL by the process id of its first process. Dropping this lets it go on.
pub(crate) struct Database {
    first: i32,
}

impl Database {
    pub(crate) fn new(first: i32) -> Self {
        Self { first }
    }

    /// Lets nothing of it run.
    pub(crate) fn rest(&self) -> anyhow::Result<()> {
        signal_family(self.first, Signal::SIGSTOP)
    }

    /// Lets it go on.
    pub(crate) fn wake(&self) -> anyhow::Result<()> {
        signal_family(self.first, Signal::SIGCONT)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Err(error) = self.wake() {
            eprintln!("error: the peer's database does not go on: {error:#}");
        }
    }
}
