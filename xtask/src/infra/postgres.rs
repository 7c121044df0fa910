//! A PostgreSQL on loopback for the measurements' peer: the system's server programs, a data folder and a port of our own,
//! and the server's default settings, `fsync` first of all.
//!
//! PostgreSQL refuses to run as root; root's child runs as the system user `postgres` then, which the Debian package makes.
//! What runs in a folder is told by the server's own `postmaster.pid`.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use nix::unistd::{User, geteuid};

use super::Unavailable;
use crate::{process, workspace};

/// The environment variable with the URL of the database.
pub const URL_VARIABLE: &str = "MILLRACE_BENCH_POSTGRES";

/// The environment variable with the process id of its server.
pub const PROCESS_VARIABLE: &str = "MILLRACE_BENCH_POSTGRES_PID";

/// The version that the figures are compared on; another one is taken where it is all there is, and is printed.
const VERSION: &str = "15";
const PACKAGE: &str = "postgresql";
/// Who owns the data where we are root.
const SYSTEM_USER: &str = "postgres";
const INSTALL_LIMIT: Duration = Duration::from_secs(600);
const INIT_LIMIT: Duration = Duration::from_secs(120);
const READY_LIMIT: Duration = Duration::from_secs(60);
const STOP_PATIENCE: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A fresh server for as long as this lives.
#[derive(Debug)]
pub struct Postgres {
    /// `postgres://USER@HOST:PORT/DATABASE`.
    pub url: String,
    /// Process id of its first process.
    pub process: u32,
    folder: PathBuf,
    /// Held until the end: a second measurement of this build folder must not stop our server.
    _lock: File,
}

impl Postgres {
    /// Starts a fresh instance of this name; one that an earlier run left behind is stopped first.
    pub fn start(name: &str) -> Result<Self> {
        let home = workspace::target_dir().join("infra/postgres");
        let folder = home.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let lock = lock(&folder)?;
        let programs = Programs::find_or_install(&home)?;
        stop(&folder)?;
        let (url, process) = start(&programs, &folder)?;
        Ok(Self { url, process, folder, _lock: lock })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Err(error) = stop(&self.folder) {
            eprintln!("error: the PostgreSQL in {} was not stopped: {error:#}", self.folder.display());
        }
    }
}

/// Makes sure that [`Postgres::start`] will find its programs, so that a lack of them is told before anything is built.
pub fn prepare() -> Result<()> {
    let home = workspace::target_dir().join("infra/postgres");
    fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    Programs::find_or_install(&home).map(|_| ())
}

fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    file.try_lock().with_context(|| format!("another measurement uses {}", folder.display()))?;
    Ok(file)
}

/// The server's programs.
#[derive(Debug)]
struct Programs {
    initdb: PathBuf,
    postgres: PathBuf,
}

impl Programs {
    fn find_or_install(home: &Path) -> Result<Self> {
        if let Some(programs) = Self::find() {
            return Ok(programs);
        }
        if !geteuid().is_root() || !process::on_path("apt-get") {
            let what = format!(
                "the programs of a PostgreSQL server (initdb, postgres) are missing: install version {VERSION} (Debian: \
                 apt-get install {PACKAGE})"
            );
            return Err(Unavailable(what).into());
        }
        progress(&format!("installing the package {PACKAGE}"));
        for arguments in [["update", "--quiet"].as_slice(), &["install", "--yes", "--quiet", PACKAGE]] {
            let mut apt = Command::new("apt-get");
            apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
            process::run_bounded(&mut apt, INSTALL_LIMIT, &home.join("install.log"))?;
        }
        Self::find().with_context(|| format!("the package {PACKAGE} brings no initdb"))
    }

    /// Where Debian puts them (version 15, or else the newest), or on the `PATH`.
    fn find() -> Option<Self> {
        let mut folders: Vec<(bool, u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let version = entry.file_name().into_string().ok()?;
                Some((version == VERSION, version.parse().ok()?, entry.path().join("bin")))
            })
            .collect();
        folders.sort();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let candidates =
            folders.into_iter().rev().map(|(_, _, folder)| folder).chain(std::env::split_paths(&path));
        candidates
            .map(|folder| Self { initdb: folder.join("initdb"), postgres: folder.join("postgres") })
            .find(|programs| programs.initdb.is_file() && programs.postgres.is_file())
    }
}

fn start(programs: &Programs, folder: &Path) -> Result<(String, u32)> {
    let data = folder.join("data");
    clear(&data)?;
    let user = system_user()?;
    if let Some(user) = &user {
        chown(folder, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
            .with_context(|| format!("cannot give {} to {SYSTEM_USER}", folder.display()))?;
    }
    let mut init = command(&programs.initdb, user.as_ref());
    init.arg("--pgdata").arg(&data).args(["--username", "postgres", "--auth", "trust"]);
    init.args(["--encoding", "UTF8", "--locale", "C"]);
    process::run_bounded(&mut init, INIT_LIMIT, &folder.join("initdb.log"))?;

    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free loopback port")?;
    let port = listener.local_addr()?.port();
    drop(listener);
    let log = folder.join("server.log");
    progress(&format!("starting on port {port} (log: {})", log.display()));
    let mut server = command(&programs.postgres, user.as_ref());
    server.arg("-D").arg(&data).args(["-p", &port.to_string()]);
    // Where it listens is ours to say; everything else is as it comes.
    server.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
    let mut child = process::spawn_daemon(&mut server, &log)?;
    if let Err(error) = wait_until_ready(&mut child, &log) {
        process::stop_group(child.id().cast_signed(), Duration::from_secs(2))?;
        return Err(error);
    }
    Ok((format!("postgres://postgres@127.0.0.1:{port}/postgres"), child.id()))
}

/// Whom the server runs as, where it cannot be us.
fn system_user() -> Result<Option<User>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let user = User::from_name(SYSTEM_USER)?;
    let missing = || {
        format!(
            "PostgreSQL does not run as root, and there is no user {SYSTEM_USER}: install the package {PACKAGE}"
        )
    };
    Ok(Some(user.with_context(missing)?))
}

fn command(program: &Path, user: Option<&User>) -> Command {
    let mut command = Command::new(program);
    // Ours may be a folder that the other user must not enter.
    command.current_dir("/");
    if let Some(user) = user {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

fn wait_until_ready(child: &mut Child, log: &Path) -> Result<()> {
    let started = Instant::now();
    loop {
        process::check_interrupt()?;
        let said = process::tail(log, 20);
        if said.contains("database system is ready to accept connections") {
            return Ok(());
        }
        if let Some(status) = child.try_wait()? {
            bail!("PostgreSQL ended while starting ({status}); the end of {}:\n{said}", log.display());
        }
        if started.elapsed() >= READY_LIMIT {
            bail!(
                "PostgreSQL is not ready after {} s; the end of {}:\n{said}",
                READY_LIMIT.as_secs(),
                log.display()
            );
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Stops the server that runs in this folder, if one does. A process that took over its pid is not touched.
fn stop(folder: &Path) -> Result<()> {
    let data = folder.join("data");
    let Ok(text) = fs::read_to_string(data.join("postmaster.pid")) else { return Ok(()) };
    let Some(pid) =
        text.lines().next().and_then(|line| line.trim().parse::<i32>().ok()).filter(|pid| *pid > 1)
    else {
        return Ok(());
    };
    let is_ours = process::command_line(pid)
        .is_some_and(|line| line.contains("postgres") && line.contains(&data.display().to_string()));
    if !is_ours {
        return Ok(());
    }
    // A measurement that was interrupted may have left it at rest.
    process::signal_family(pid, Signal::SIGCONT)?;
    process::stop_group(pid, STOP_PATIENCE)
}

/// Removes the data of the last run; a folder that PostgreSQL did not write is refused.
fn clear(data: &Path) -> Result<()> {
    if !data.exists() {
        return Ok(());
    }
    if !data.join("PG_VERSION").exists() {
        bail!("{} holds something that is not PostgreSQL's data: remove it yourself", data.display());
    }
    fs::remove_dir_all(data).with_context(|| format!("cannot remove {}", data.display()))
}

fn progress(message: &str) {
    eprintln!("postgres: {message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_that_is_not_postgresqls_is_never_removed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
        assert!(clear(dir.path()).unwrap_err().to_string().contains("not PostgreSQL's data"));
        assert!(dir.path().join("thesis.txt").exists());
    }

    #[test]
    fn stopping_leaves_alone_a_process_that_took_over_the_pid() {
        let dir = tempfile::tempdir().unwrap();
        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        fs::write(dir.path().join("data/postmaster.pid"), format!("{}\n/elsewhere\n", other.id())).unwrap();
        stop(dir.path()).unwrap();
        assert!(other.try_wait().unwrap().is_none(), "a process of somebody else was stopped");
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn a_folder_serves_one_measurement_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        assert!(lock(dir.path()).unwrap_err().to_string().contains("another measurement"));
        drop(held);
        lock(dir.path()).unwrap();
    }
}
