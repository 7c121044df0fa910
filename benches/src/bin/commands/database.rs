//! The peer's database: it rests while others are measured.
//!
//! PostgreSQL goes on for minutes after a load, with checkpoints and vacuum, and would be measured with everybody else. So
//! all its processes are stopped (SIGSTOP) but while the peer is measured.

use anyhow::Context as _;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

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
        // The first process alone makes others: it goes first.
        signal(self.first, Signal::SIGSTOP)?;
        children(self.first)?.into_iter().try_for_each(|child| signal(child, Signal::SIGSTOP))
    }

    /// Lets it go on.
    pub(crate) fn wake(&self) -> anyhow::Result<()> {
        children(self.first)?.into_iter().try_for_each(|child| signal(child, Signal::SIGCONT))?;
        signal(self.first, Signal::SIGCONT)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Err(error) = self.wake() {
            eprintln!("error: the peer's database does not go on: {error:#}");
        }
    }
}

fn signal(process: i32, signal: Signal) -> anyhow::Result<()> {
    match kill(Pid::from_raw(process), signal) {
        // It has ended by itself.
        Err(Errno::ESRCH) => Ok(()),
        sent => {
            sent.with_context(|| format!("cannot send {signal} to the peer's database, process {process}"))
        }
    }
}

/// The processes whose parent is this one.
fn children(parent: i32) -> anyhow::Result<Vec<i32>> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc").context("this system does not tell of its processes")? {
        let Some(process) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // One that has ended meanwhile has no such file.
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // The name may hold blanks; behind it are the state and the parent.
        let its_parent =
            stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        if its_parent == Some(parent) {
            children.push(process);
        }
    }
    Ok(children)
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::*;

    /// A signal takes effect a moment later.
    fn comes_to(process: u32, is_stopped: bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
            let state = stat.rsplit(')').next().unwrap().trim_start().chars().next().unwrap();
            if (state == 'T') == is_stopped {
                return;
            }
            assert!(Instant::now() < deadline, "process {process} stays in state {state}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_process_and_its_children_rest_and_go_on() {
        let mut parent = Command::new("sh").args(["-c", "sleep 60 & wait"]).spawn().unwrap();
        let first = parent.id().cast_signed();
        let child = loop {
            if let [child] = children(first).unwrap()[..] {
                break child.cast_unsigned();
            }
            std::thread::yield_now();
        };
        let database = Database::new(first);
        database.rest().unwrap();
        comes_to(parent.id(), true);
        comes_to(child, true);
        drop(database);
        comes_to(child, false);
        comes_to(parent.id(), false);
        kill(Pid::from_raw(child.cast_signed()), Signal::SIGKILL).unwrap();
        parent.wait().unwrap();
    }
}
