//! A server as a child process: started, waited for, looked at, and ended by its process id.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a server may take to be ready.
const READY_LIMIT: Duration = Duration::from_secs(120);
/// How long it may take to stop when asked; then it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(2);

/// A running server. Dropping it kills it.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Server {
    /// Starts `command` with its output in `log` and waits until `GET /health/ready` is answered by 200; also says how long
    /// that took.
    pub(crate) fn start(
        command: &mut Command,
        address: SocketAddr,
        log: &Path,
    ) -> anyhow::Result<(Self, Duration)> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let begin = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let mut server = Self { child, address, log: log.to_owned() };
        loop {
            if matches!(get(address, "/health/ready"), Ok((200, _))) {
                return Ok((server, begin.elapsed()));
            }
            if let Some(status) = server.child.try_wait()? {
                bail!("{} ended ({status}):\n{}", command.get_program().display(), server.log_text());
            }
            if begin.elapsed() > READY_LIMIT {
                bail!("not ready after {} s:\n{}", READY_LIMIT.as_secs(), server.log_text());
            }
            std::thread::sleep(POLL);
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has written so far.
    pub(crate) fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Memory in use (resident), bytes.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        Ok(kibibytes.context("the system does not tell the memory of a process")? * 1_024)
    }

    /// Processor time used so far, all threads.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name may hold blanks; it ends with the last parenthesis.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
        let total = ticks(11).zip(ticks(12)).map(|(user, system)| user + system);
        // Linux counts in hundredths of a second on every machine that it tells about it here.
        Ok(Duration::from_millis(total.context("the system does not tell the time of a process")? * 10))
    }

    /// `GET` of a path, which has to be answered by 200.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<String> {
        match get(self.address, path)? {
            (200, body) => Ok(body),
            (status, body) => bail!("GET {path} is answered by {status}: {body}"),
        }
    }

    /// Asks it to stop and waits for the end.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM)
            .context("cannot stop a server")?;
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                anyhow::ensure!(status.success(), "a server ended badly ({status}):\n{}", self.log_text());
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        bail!("a server did not stop within {} s:\n{}", STOP_LIMIT.as_secs(), self.log_text())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing to do about a failure: it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address on loopback that nobody listens on at the moment.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free loopback port")?;
    Ok(listener.local_addr()?)
}

/// One request on a connection of its own: status and body.
fn get(address: SocketAddr, path: &str) -> anyhow::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("not an HTTP answer")?;
    let status =
        head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("not an HTTP answer")?;
    Ok((status, body.to_owned()))
}
