//! A real Apache Kafka broker on loopback: from jars where there is a JVM, from a container where there is an engine.
//!
//! In order: the broker that `MILLRACE_TEST_KAFKA` names; jars fetched once by Maven and run by `java`; the `kafka`
//! service of `docker-compose.kafka.yml`; otherwise one line that says what is missing. Each instance has a folder with
//! its settings, data, log and a `broker.json` that says what runs, so that [`down`] stops that and nothing else.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, io};

use anyhow::{Context, Result, bail};

use super::Unavailable;
use crate::process;

mod broker;
mod container;
mod jars;
mod probe;
mod record;
mod settings;

pub use broker::Broker;
pub use probe::probe;
use record::{Record, Runner};

/// The environment variable with the bootstrap address of a broker to test against.
pub const ADDRESS_VARIABLE: &str = "MILLRACE_TEST_KAFKA";

const FORMAT_LIMIT: Duration = Duration::from_secs(60);
/// A cold JVM on a busy machine takes half a minute; the usual start takes two seconds.
const READY_LIMIT: Duration = Duration::from_secs(120);
const STOP_PATIENCE: Duration = Duration::from_secs(20);
const READY_POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Free ports are only free until somebody else takes them.
const PORT_ATTEMPTS: usize = 3;

/// How to start a broker.
#[derive(Debug, Clone)]
pub struct Options {
    /// The instance's own folder, absolute; made when it isn't there.
    pub folder: PathBuf,
    /// Whether the data of the last run stays.
    pub keep: bool,
}

/// What [`down`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It ran on this address and has ended.
    Stopped(String),
    /// There was nothing of ours to stop.
    WasNotRunning,
}

/// The folder of the named instance; names are letters, digits, `-` and `_`, and `libs` is taken by the jars.
pub fn folder(target_dir: &Path, name: &str) -> Result<PathBuf> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || character == '-' || character == '_';
    if name.is_empty() || !name.chars().all(allowed) || name == jars::FOLDER_NAME {
        bail!("'{name}' cannot name a broker: letters, digits, - and _, and not '{}'", jars::FOLDER_NAME);
    }
    Ok(home(target_dir).join(name))
}

/// The folders of all named instances, in order of name.
pub fn folders(target_dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(home(target_dir)) else { return Vec::new() };
    let mut folders: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| Record::path(path).exists()).collect();
    folders.sort();
    folders
}

/// The broker that the environment names, if it does.
pub fn given_address() -> Option<String> {
    env::var(ADDRESS_VARIABLE)
        .ok()
        .map(|address| address.trim().to_owned())
        .filter(|address| !address.is_empty())
}

/// Makes sure that a broker runs and is ready; returns its bootstrap address. One that runs already is used as it is.
pub fn up(options: &Options) -> Result<String> {
    if let Some(address) = given_address() {
        probe(&address)
            .with_context(|| format!("{ADDRESS_VARIABLE}={address} does not answer as a Kafka broker"))?;
        return Ok(address);
    }
    fs::create_dir_all(&options.folder)
        .with_context(|| format!("cannot make {}", options.folder.display()))?;
    let _one_at_a_time = lock(&options.folder)?;
    if let Some(record) = Record::read(&options.folder)? {
        if record.runs(&options.folder) && probe(&record.address).is_ok() {
            progress(&format!("already running on {}", record.address));
            return Ok(record.address);
        }
        stop_record(&options.folder, &record)?;
    }
    match source()? {
        Source::Jars => up_from_jars(options),
        Source::Container => container::up(&options.folder, READY_LIMIT),
    }
}

/// Makes sure that [`up`] will find what it needs, so that a lack of it is told before anything else is done.
pub fn prepare() -> Result<()> {
    if let Some(address) = given_address() {
        return probe_given(&address);
    }
    match source()? {
        Source::Jars => jars::ensure().map(|_| ()),
        Source::Container => Ok(()),
    }
}

/// Where a broker of our own can come from.
enum Source {
    Jars,
    Container,
}

fn source() -> Result<Source> {
    let Some(no_jars) = jars::missing() else { return Ok(Source::Jars) };
    let Some(no_engine) = container::missing() else { return Ok(Source::Container) };
    Err(Unavailable(format!(
        "no Kafka can be had here: {no_jars}, and {no_engine}; install one of them, or set {ADDRESS_VARIABLE}=HOST:PORT to a \
         running broker"
    ))
    .into())
}

fn probe_given(address: &str) -> Result<()> {
    probe(address).with_context(|| format!("{ADDRESS_VARIABLE}={address} does not answer as a Kafka broker"))
}

/// Stops what [`up`] started in this folder. A process that took over the pid since is not touched.
pub fn down(folder: &Path) -> Result<Stopped> {
    if !folder.exists() {
        return Ok(Stopped::WasNotRunning);
    }
    let _one_at_a_time = lock(folder)?;
    let Some(record) = Record::read(folder)? else { return Ok(Stopped::WasNotRunning) };
    let ran = record.runs(folder);
    stop_record(folder, &record)?;
    Ok(if ran { Stopped::Stopped(record.address) } else { Stopped::WasNotRunning })
}

/// One line about what runs in a folder.
pub fn describe(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy();
    match Record::read(folder) {
        Ok(Some(record)) if record.runs(folder) => {
            let state = if probe(&record.address).is_ok() { "ready" } else { "runs but does not answer" };
            format!("kafka {} {state} ({name}, {})", record.address, record.runner)
        }
        Ok(Some(record)) => format!("kafka {} is gone without having been stopped ({name})", record.address),
        Ok(None) => format!("kafka was not started ({name})"),
        Err(error) => format!("kafka unknown ({name}): {error:#}"),
    }
}

fn home(target_dir: &Path) -> PathBuf {
    target_dir.join("infra/kafka")
}

/// Two callers at once must not both start a broker. The lock's descriptor is close-on-exec: the broker never has it.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

fn stop_record(folder: &Path, record: &Record) -> Result<()> {
    match &record.runner {
        Runner::Process { pid } if record.runs(folder) => process::stop_group(*pid, STOP_PATIENCE)?,
        Runner::Process { .. } => {}
        Runner::Container { project } => container::down(project, folder)?,
    }
    Record::remove(folder)
}

fn up_from_jars(options: &Options) -> Result<String> {
    let libs = jars::ensure()?;
    let mut last_error = None;
    for attempt in 0..PORT_ATTEMPTS {
        let ports = if options.keep && attempt == 0 { Ports::of_last_run(&options.folder) } else { None };
        let ports = match ports {
            Some(ports) => ports,
            None => Ports::free()?,
        };
        let keep = options.keep || attempt > 0;
        match start(&options.folder, &libs, ports, keep) {
            Ok(address) => return Ok(address),
            Err(error) if process::tail(&log_file(&options.folder), 60).contains("BindException") => {
                progress("a port was taken meanwhile; trying others");
                last_error = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(last_error.context("no attempt was made")?)
}

fn start(folder: &Path, libs: &Path, ports: Ports, keep: bool) -> Result<String> {
    let data_dir = folder.join("data");
    let properties = folder.join("server.properties");
    let log_settings = folder.join("log4j2.yaml");
    if !keep {
        clear_data(&data_dir)?;
    }
    fs::write(&properties, settings::server_properties(ports.broker, ports.controller, &data_dir))?;
    fs::write(&log_settings, settings::LOG4J2)?;

    let class_path = format!("{}/*", libs.display());
    if !data_dir.join("meta.properties").exists() {
        progress("formatting its storage");
        let mut format = Command::new("java");
        format.args(["-Xmx128m", "-cp", &class_path, "kafka.tools.StorageTool"]);
        format.args(["format", "--standalone", "-t", settings::CLUSTER_ID, "-c"]).arg(&properties);
        process::run_bounded(&mut format, FORMAT_LIMIT, &folder.join("format.log"))?;
    }

    let log = log_file(folder);
    progress(&format!("starting on port {} (log: {})", ports.broker, log.display()));
    let mut broker = Command::new("java");
    broker
        .args(["-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-Xss512k", "-XX:MaxDirectMemorySize=128m"])
        .arg(format!("-Dlog4j2.configurationFile={}", log_settings.display()))
        .args(["-cp", &class_path, "kafka.Kafka"])
        .arg(&properties);
    let mut child = process::spawn_daemon(&mut broker, &log)?;
    let pid = child.id().cast_signed();
    let address = format!("127.0.0.1:{}", ports.broker);
    let record = Record {
        runner: Runner::Process { pid },
        address: address.clone(),
        controller_port: Some(ports.controller),
    };
    // Written before it is ready: whatever happens to us now, `down` finds it.
    let ready = record.write(folder).and_then(|()| wait_until_ready(&mut child, &address, &log));
    if let Err(error) = ready {
        process::stop_group(pid, Duration::from_secs(2))?;
        Record::remove(folder)?;
        return Err(error);
    }
    Ok(address)
}

fn wait_until_ready(child: &mut Child, address: &str, log: &Path) -> Result<()> {
    let started = Instant::now();
    let mut next_note = Duration::from_secs(5);
    loop {
        process::check_interrupt()?;
        if let Some(status) = child.try_wait()? {
            bail!(
                "the broker ended while starting ({status}); the end of {}:\n{}",
                log.display(),
                process::tail(log, 20)
            );
        }
        // The log line comes last in the broker's start; the answer proves that clients are served.
        let answers = process::tail(log, 200).contains("Kafka Server started") && probe(address).is_ok();
        let waited = started.elapsed();
        if answers {
            progress(&format!("ready after {:.1} s", waited.as_secs_f32()));
            return Ok(());
        }
        if waited >= READY_LIMIT {
            bail!(
                "the broker is not ready after {} s; the end of {}:\n{}",
                waited.as_secs(),
                log.display(),
                process::tail(log, 20)
            );
        }
        if waited >= next_note {
            progress(&format!("still starting after {} s", waited.as_secs()));
            next_note += Duration::from_secs(5);
        }
        thread::sleep(READY_POLL_INTERVAL);
    }
}

/// Removes the data of the last run. A folder that Kafka did not write is refused: `--dir` may point anywhere.
fn clear_data(data_dir: &Path) -> Result<()> {
    let mut entries = match fs::read_dir(data_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", data_dir.display())),
    };
    let looks_like_kafka =
        data_dir.join("meta.properties").exists() || data_dir.join("bootstrap.checkpoint").exists();
    if !looks_like_kafka && entries.next().is_some() {
        bail!("{} holds something that is not a broker's data: remove it yourself", data_dir.display());
    }
    fs::remove_dir_all(data_dir).with_context(|| format!("cannot remove {}", data_dir.display()))
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("broker.log")
}

fn progress(message: &str) {
    eprintln!("kafka: {message}");
}

/// The two ports of a broker that is its own controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ports {
    broker: u16,
    controller: u16,
}

impl Ports {
    fn free() -> Result<Self> {
        // Both are held until both are known, or they could be the same.
        let broker = TcpListener::bind(("127.0.0.1", 0)).context("no free loopback port")?;
        let controller = TcpListener::bind(("127.0.0.1", 0)).context("no free loopback port")?;
        Ok(Self { broker: broker.local_addr()?.port(), controller: controller.local_addr()?.port() })
    }

    /// Kept data holds the controller's address, so its ports are used again where they are free.
    fn of_last_run(folder: &Path) -> Option<Self> {
        let properties = fs::read_to_string(folder.join("server.properties")).ok()?;
        let (broker, controller) = settings::ports(&properties)?;
        let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        (free(broker) && free(controller)).then_some(Self { broker, controller })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_that_is_not_a_brokers_is_never_removed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
        assert!(clear_data(dir.path()).unwrap_err().to_string().contains("not a broker's data"));
        assert!(dir.path().join("thesis.txt").exists());
    }

    #[test]
    fn names_stay_inside_the_build_folder() {
        let target = Path::new("/build");
        assert_eq!(folder(target, "ci").unwrap(), Path::new("/build/infra/kafka/ci"));
        for name in ["", "..", "a/b", "libs"] {
            assert!(folder(target, name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_two_ports_differ() {
        let ports = Ports::free().unwrap();
        assert_ne!(ports.broker, ports.controller);
    }

    #[test]
    fn stopping_leaves_alone_a_process_that_took_over_the_pid() {
        let dir = tempfile::tempdir().unwrap();
        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        let record = Record {
            runner: Runner::Process { pid: other.id().cast_signed() },
            address: "127.0.0.1:1".to_owned(),
            controller_port: None,
        };
        record.write(dir.path()).unwrap();
        assert_eq!(down(dir.path()).unwrap(), Stopped::WasNotRunning);
        assert!(other.try_wait().unwrap().is_none(), "a process of somebody else was stopped");
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
