//! Child processes: bounded, in process groups of their own, and stopped when we are told to stop.
//!
//! Every child gets its own group, so that stopping it stops what it started in turn (`cargo test` its test binaries).
//! The price is that Ctrl-C on the terminal reaches only us: [`catch_interrupts`] passes it on.

use std::fs::{self, File};
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc::c_int;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, killpg, sigaction};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// How often we were told to stop; a second time means at once.
static INTERRUPTS: AtomicUsize = AtomicUsize::new(0);
/// The process group that runs in the foreground now, 0 for none.
static FOREGROUND: AtomicI32 = AtomicI32::new(0);

/// From now on SIGINT, SIGTERM and SIGHUP don't end us: they are passed to the running child, and [`check_interrupt`]
/// fails, so that guards get to clean up. A second signal kills the child.
///
/// A handler and not a blocked mask that a thread waits for: children inherit a mask, but never a handler.
#[expect(unsafe_code, reason = "a signal handler cannot be installed in any other way")]
pub fn catch_interrupts() {
    let action = SigAction::new(SigHandler::Handler(pass_on), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler only touches atomics, errno (which it restores) and calls killpg, all of which POSIX allows
        // at any point of the program.
        let _ = unsafe { sigaction(signal, &action) };
    }
}

extern "C" fn pass_on(signal: c_int) {
    let errno = Errno::last_raw();
    let first = INTERRUPTS.fetch_add(1, Ordering::SeqCst) == 0;
    let group = FOREGROUND.load(Ordering::SeqCst);
    if group > 0 {
        let signal =
            if first { Signal::try_from(signal).unwrap_or(Signal::SIGTERM) } else { Signal::SIGKILL };
        let _ = killpg(Pid::from_raw(group), signal);
    }
    Errno::set_raw(errno);
}

/// Fails once a signal told us to stop.
pub fn check_interrupt() -> Result<()> {
    if INTERRUPTS.load(Ordering::SeqCst) > 0 {
        bail!("interrupted");
    }
    Ok(())
}

/// Runs a command to its end with our own output streams and no input.
pub fn run(command: &mut Command) -> Result<ExitStatus> {
    check_interrupt()?;
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let foreground = Foreground::new(&child);
    let status = child.wait().with_context(|| format!("cannot wait for {name}"));
    drop(foreground);
    if let Err(interrupted) = check_interrupt() {
        end_group(child.id().cast_signed());
        return Err(interrupted);
    }
    status
}

/// Runs a command with its output in `log`; at the limit, or when we are told to stop, its group is killed.
/// An unsuccessful end is an error with the log's last lines.
pub fn run_bounded(command: &mut Command, limit: Duration, log: &Path) -> Result<()> {
    check_interrupt()?;
    let name = command.get_program().to_string_lossy().into_owned();
    let out = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let err = out.try_clone()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let _foreground = Foreground::new(&child);
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            check_interrupt()?;
            if status.success() {
                return Ok(());
            }
            bail!("{name} failed ({status}); the end of {}:\n{}", log.display(), tail(log, 15));
        }
        if Instant::now() >= deadline {
            let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
            let _ = child.wait();
            bail!(
                "{name} took longer than {} s; the end of {}:\n{}",
                limit.as_secs(),
                log.display(),
                tail(log, 15)
            );
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Starts a command that outlives us: own process group, no input, output in `log`, and none of our other descriptors.
pub fn spawn_daemon(command: &mut Command, log: &Path) -> Result<Child> {
    let name = command.get_program().to_string_lossy().into_owned();
    let out = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let err = out.try_clone()?;
    keep_descriptors_from_children();
    command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {name}"))
}

/// The command line of a running process, arguments separated by blanks; `None` when there is no such process
/// (a zombie counts as none: it has no command line).
pub fn command_line(pid: i32) -> Option<String> {
    reap(pid);
    if Path::new("/proc/self/cmdline").exists() {
        let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
        let line = line.trim();
        return (!line.is_empty()).then(|| line.to_owned());
    }
    let output = Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()]).output().ok()?;
    let line = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !line.is_empty()).then_some(line)
}

/// Sends a signal to the group led by `pid`.
pub fn signal_group(pid: i32, signal: Signal) -> Result<()> {
    killpg(Pid::from_raw(pid), signal).with_context(|| format!("cannot send {signal} to process group {pid}"))
}

/// Asks the group led by `pid` to end, and kills it when it has not within `patience`.
pub fn stop_group(pid: i32, patience: Duration) -> Result<()> {
    let group = Pid::from_raw(pid);
    for (signal, patience) in [(Signal::SIGTERM, patience), (Signal::SIGKILL, Duration::from_secs(5))] {
        match killpg(group, signal) {
            Ok(()) => {}
            Err(Errno::ESRCH) => return Ok(()),
            Err(error) => return Err(error).with_context(|| format!("cannot stop process group {pid}")),
        }
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            reap(pid);
            if command_line(pid).is_none() {
                return Ok(());
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
    bail!("process group {pid} does not end, not even killed");
}

/// Sends a signal to a process and then to its children. One that has ended meanwhile needs none.
pub fn signal_family(pid: i32, signal: Signal) -> Result<()> {
    let send = |pid| match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot send {signal} to process {pid}")),
    };
    // The first process alone makes others: one that is to stop goes first.
    send(pid)?;
    children(pid)?.into_iter().try_for_each(send)
}

/// The processes whose parent is this one.
fn children(parent: i32) -> Result<Vec<i32>> {
    let processes = fs::read_dir("/proc").context("this system does not tell of its processes")?;
    let ids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_child = |id: &i32| {
        // One that has ended meanwhile has no such file.
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // The name may hold blanks; behind it are the state and the parent.
        stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok()) == Some(parent)
    };
    Ok(ids.filter(is_child).collect())
}

/// Ends what is left of a group whose leader is gone: a shell's background jobs, for one, ignore SIGINT.
fn end_group(group: i32) {
    let group = Pid::from_raw(group);
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut signal = Some(Signal::SIGTERM);
    while killpg(group, signal).is_ok() {
        signal = (Instant::now() >= deadline).then_some(Signal::SIGKILL);
        thread::sleep(POLL_INTERVAL);
        if Instant::now() >= deadline + Duration::from_secs(5) {
            return;
        }
    }
}

/// The last `lines` lines of a file, empty when it cannot be read.
pub fn tail(file: &Path, lines: usize) -> String {
    let text = fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Whether `program` is an executable file on the `PATH`.
pub fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .any(|dir| nix::unistd::access(&dir.join(program), nix::unistd::AccessFlags::X_OK).is_ok())
}

/// Collects the exit status of a child of ours that has ended; a process that is not our child is left alone.
fn reap(pid: i32) {
    let alive = kill(Pid::from_raw(pid), None).is_ok();
    if alive {
        let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
    }
}

/// While it lives, signals that reach us are passed to this child's group.
struct Foreground;

impl Foreground {
    fn new(child: &Child) -> Self {
        let group = child.id().cast_signed();
        FOREGROUND.store(group, Ordering::SeqCst);
        if INTERRUPTS.load(Ordering::SeqCst) > 0 {
            // The signal came between the child's start and this line, so nobody has passed it on.
            let _ = killpg(Pid::from_raw(group), Signal::SIGTERM);
        }
        Self
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        FOREGROUND.store(0, Ordering::SeqCst);
    }
}

/// Marks every descriptor that we were started with, above the three standard ones, as close-on-exec.
///
/// Our own files have the mark anyway. A caller's might not: a server that outlives us would go on holding the caller's
/// lock (`flock 9`) or the end of its pipe.
fn keep_descriptors_from_children() {
    let Ok(entries) = fs::read_dir("/dev/fd") else { return };
    let descriptors: Vec<RawFd> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    for descriptor in descriptors {
        mark_close_on_exec(descriptor);
    }
}

#[expect(unsafe_code, reason = "there is no safe way to name a descriptor that somebody else opened")]
fn mark_close_on_exec(descriptor: RawFd) {
    // SAFETY: borrowed for one fcntl that reads and writes nothing but the descriptor's flags; if it was closed since it
    // was listed (the listing's own descriptor is), the call answers EBADF and changes nothing.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let _ = fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_takes_too_long_is_killed_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 987 & echo $!; wait"]);
        let log = dir.path().join("log");
        let error = run_bounded(&mut command, Duration::from_millis(300), &log).unwrap_err();
        assert!(error.to_string().contains("took longer"), "{error}");
        let grandchild: i32 = fs::read_to_string(&log).unwrap().trim().parse().unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while command_line(grandchild).is_some_and(|line| line.contains("987")) {
            assert!(Instant::now() < deadline, "the grandchild {grandchild} still runs");
            thread::yield_now();
        }
    }

    #[test]
    fn a_failing_command_shows_the_end_of_its_output() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo the reason; exit 3"]);
        let error = run_bounded(&mut command, Duration::from_secs(10), &dir.path().join("log")).unwrap_err();
        assert!(error.to_string().contains("the reason"), "{error}");
    }

    #[test]
    fn a_daemon_holds_none_of_our_callers_files() {
        let dir = tempfile::tempdir().unwrap();
        // A descriptor without close-on-exec, as a shell's `exec 9>file` leaves it.
        let inherited = File::create(dir.path().join("inherited")).unwrap();
        fcntl(&inherited, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        let log = dir.path().join("log");
        let mut daemon = spawn_daemon(Command::new("sh").args(["-c", "ls -l /dev/fd/"]), &log).unwrap();
        daemon.wait().unwrap();
        let listing = fs::read_to_string(&log).unwrap();
        assert!(listing.contains(" 1 -> ") && !listing.contains("inherited"), "{listing}");
    }

    #[test]
    fn stopping_ends_a_process_that_ignores_requests() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' TERM; echo trapped; while :; do sleep 0.1; done"]);
        let mut child = spawn_daemon(&mut command, &log).unwrap();
        let pid = child.id().cast_signed();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !fs::read_to_string(&log).unwrap().contains("trapped") {
            assert!(Instant::now() < deadline, "the shell did not start");
            thread::yield_now();
        }
        stop_group(pid, Duration::from_millis(200)).unwrap();
        assert_eq!(command_line(pid), None);
        // Whoever collects its exit status first, it did not end well; an error means that it was collected already.
        assert!(child.wait().map_or(true, |status| !status.success()));
    }

    /// A signal takes effect a moment later.
    fn comes_to(process: u32, is_stopped: bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
            let state = stat.rsplit(')').next().unwrap().trim_start().chars().next().unwrap();
            if (state == 'T') == is_stopped {
                return;
            }
            assert!(Instant::now() < deadline, "process {process} stays in state {state}");
            thread::yield_now();
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
            thread::yield_now();
        };
        signal_family(first, Signal::SIGSTOP).unwrap();
        comes_to(parent.id(), true);
        comes_to(child, true);
        signal_family(first, Signal::SIGCONT).unwrap();
        comes_to(child, false);
        comes_to(parent.id(), false);
        kill(Pid::from_raw(child.cast_signed()), Signal::SIGKILL).unwrap();
        parent.wait().unwrap();
    }
}
