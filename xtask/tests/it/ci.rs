//! `ci` as its callers see it: exit code, table, and what is left running when it is told to stop.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use xtask::process::command_line;

/// `xtask ci --quick` in a folder of its own, where cargo is this shell script.
fn start_ci(folder: &Path, cargo: &str) -> Child {
    let script = folder.join("cargo");
    fs::write(&script, format!("#!/bin/sh\n{cargo}\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["ci", "--quick"]).env("CARGO", script).env("CARGO_MANIFEST_DIR", folder.join("xtask"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_failed_step_is_the_last_one_and_exit_code_1() {
    let dir = tempfile::tempdir().unwrap();
    let output = start_ci(dir.path(), "test \"$1\" = fmt").wait_with_output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
    let table = stdout.rsplit("\n\n").next().unwrap();
    assert!(table.contains("lints") && table.contains("FAILED") && !table.contains("tidy"), "{table}");
    assert!(stderr.contains("error: step 'lints': `cargo clippy"), "{stderr}");
}

#[test]
fn told_to_stop_it_stops_what_its_step_started() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let dir = tempfile::tempdir().unwrap();
        let pid_file = dir.path().join("pid");
        let running = start_ci(
            dir.path(),
            &format!("sleep 976 & echo $! > '{0}.new'; mv '{0}.new' '{0}'; wait", pid_file.display()),
        );
        wait_until("the step runs", || pid_file.exists());
        let grandchild: i32 = fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
        kill(Pid::from_raw(running.id().cast_signed()), signal).unwrap();
        let output = running.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{signal}: {stderr}");
        assert!(stderr.contains("interrupted"), "{signal}: {stderr}");
        wait_until("the step's child is gone", || {
            !command_line(grandchild).is_some_and(|line| line.contains("976"))
        });
    }
}

#[test]
fn a_second_signal_ends_a_step_that_ignores_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let ready = dir.path().join("ready");
    let cargo =
        format!("trap 'touch {0}.first' INT; touch {0}; while :; do sleep 0.05; done", ready.display());
    let running = start_ci(dir.path(), &cargo);
    wait_until("the step runs", || ready.exists());
    let pid = Pid::from_raw(running.id().cast_signed());
    kill(pid, Signal::SIGINT).unwrap();
    wait_until("the first signal has arrived", || dir.path().join("ready.first").exists());
    kill(pid, Signal::SIGINT).unwrap();
    assert_eq!(running.wait_with_output().unwrap().status.code(), Some(1));
}
