//! What the launchers of servers have in common: waiting until one serves, and removing its data.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use anyhow::{Context, Result, bail};

use crate::process;

/// A cold JVM on a busy machine takes half a minute; the usual start takes a few seconds.
pub(super) const READY_LIMIT: Duration = Duration::from_secs(120);
pub(super) const READY_POLL_INTERVAL: Duration = Duration::from_millis(100);
pub(super) const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// Waits until the server that was started as `child` says so, at most [`READY_LIMIT`]. An end before that is an error with
/// the log's last lines.
pub(super) fn wait_until_ready(
    server: &str,
    child: &mut Child,
    address: &str,
    log: &Path,
    mut is_ready: impl FnMut() -> bool,
) -> Result<()> {
    let started = Instant::now();
    let mut next_note = Duration::from_secs(5);
    let said = || format!("the end of {}:\n{}", log.display(), process::tail(log, 20));
    loop {
        process::check_interrupt()?;
        if let Some(status) = child.try_wait()? {
            bail!("{server} ended while starting ({status}); {}", said());
        }
        let waited = started.elapsed();
        if is_ready() {
            eprintln!("{server}: {address} ready after {:.1} s", waited.as_secs_f32());
            return Ok(());
        }
        if waited >= READY_LIMIT {
            bail!("{server} is not ready after {} s; {}", waited.as_secs(), said());
        }
        if waited >= next_note {
            eprintln!("{server}: still starting after {} s", waited.as_secs());
            next_note += Duration::from_secs(5);
        }
        thread::sleep(READY_POLL_INTERVAL);
    }
}

/// Removes a server's data. A folder that has none of the `marks` is not the server's and is refused: `--dir` may point
/// anywhere.
pub(super) fn clear_data(server: &str, data_dir: &Path, marks: &[&str]) -> Result<()> {
    let mut entries = match fs::read_dir(data_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", data_dir.display())),
    };
    let is_the_servers = marks.iter().any(|mark| data_dir.join(mark).exists());
    if !is_the_servers && entries.next().is_some() {
        bail!("{} holds something that is not {server}'s data: remove it yourself", data_dir.display());
    }
    fs::remove_dir_all(data_dir).with_context(|| format!("cannot remove {}", data_dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_that_is_not_the_servers_is_never_removed() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("data");
        clear_data("kafka", &data_dir, &["meta.properties"]).unwrap();
        fs::create_dir(&data_dir).unwrap();
        fs::write(data_dir.join("thesis.txt"), "years of work").unwrap();
        let error = clear_data("kafka", &data_dir, &["meta.properties"]).unwrap_err();
        assert!(error.to_string().contains("not kafka's data"), "{error}");
        assert!(data_dir.join("thesis.txt").exists());
        fs::write(data_dir.join("meta.properties"), "").unwrap();
        clear_data("kafka", &data_dir, &["meta.properties"]).unwrap();
        assert!(!data_dir.exists());
    }
}
