//! Signals end a process in order; a second one ends it at once.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use service_kit::{Error, Millis, OnError, Phase, Shutdown, Tasks};

/// Says in the child which test it belongs to.
const ROLE: &str = "SERVICE_KIT_TEST_ROLE";

#[test]
fn sigterm_and_sigint_end_a_process_in_order_with_success() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (mut child, mut lines) = start("orderly");
        wait_for(&mut lines, "listening");
        send(&child, signal);
        let seen: Vec<_> = lines.map_while(Result::ok).filter(|line| line.starts_with("step ")).collect();
        assert_eq!(
            seen,
            [
                "step hand-over",
                "step stop-accepting",
                "step task",
                "step flush",
                "step store-progress",
                "step telemetry"
            ]
        );
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}");
    }
}

#[test]
fn a_second_signal_exits_at_once_with_130() {
    let (mut child, mut lines) = start("stuck");
    wait_for(&mut lines, "listening");
    send(&child, Signal::SIGTERM);
    wait_for(&mut lines, "step stop-accepting");
    send(&child, Signal::SIGINT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!lines.map_while(Result::ok).any(|line| line.starts_with("step telemetry")));
}

/// Not a test of its own: the process that the tests here start, in which [`ROLE`] is set.
#[tokio::test]
async fn process_under_test() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let tasks = Tasks::new();
    // Long enough that a stuck step ends through the second signal only.
    let shutdown = Shutdown::new(tasks.clone(), Millis::new(600_000));
    for phase in Phase::ALL.into_iter().filter(|phase| *phase != Phase::FinishRunning) {
        shutdown.on(phase, "print", move || async move {
            println!("step {phase}");
            Ok::<_, Error>(())
        });
    }
    if role == "stuck" {
        shutdown.on(Phase::FinishRunning, "stuck", std::future::pending::<Result<(), Error>>);
    }
    let stop = tasks.stop();
    tasks.spawn("printer", OnError::StopProcess, async move {
        stop.requested().await;
        println!("step task");
        Ok::<_, Error>(())
    });
    // The first poll installs the signal handlers, so what the second one prints comes after that.
    let (outcome, ()) = tokio::join!(biased; shutdown.run_on_signal(), async { println!("\nlistening") });
    outcome.unwrap();
}

fn start(role: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "it::signals::process_under_test", "--nocapture"])
        .env(ROLE, role)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

fn wait_for(lines: &mut Lines<BufReader<ChildStdout>>, wanted: &str) {
    assert!(
        lines.map_while(Result::ok).any(|line| line == wanted),
        "the process ended before it said {wanted:?}"
    );
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}
