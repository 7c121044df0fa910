//! The binary itself: exit codes, what it says, signals.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub(crate) fn millrace(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MILLRACE_")) {
        command.env_remove(name);
    }
    // Away from any millrace.toml of whoever runs the tests.
    command.current_dir(folder);
    command
}

/// `up` in a folder on a free port, once it says where it listens.
pub(crate) struct Up {
    pub(crate) child: Child,
    stderr: BufReader<ChildStderr>,
    pub(crate) url: String,
}

impl Up {
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[])
    }

    pub(crate) fn start_with(folder: &Path, flags: &[&str]) -> Self {
        let mut command = millrace(folder);
        command.args(["up", "--data-dir", "data", "--listen", "127.0.0.1:0"]).args(flags);
        Self::spawn(command)
    }

    #[allow(
        clippy::zombie_processes,
        reason = "a test that fails here ends, and its child with the closed pipe"
    )]
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended without listening: {said}");
            if let Some(url) = line.trim().strip_prefix("Docs ") {
                let url = url.trim().trim_end_matches("/docs").to_owned();
                return Self { child, stderr, url };
            }
            said.push_str(&line);
        }
    }

    /// Ends it with a signal; its exit code and what it said meanwhile.
    pub(crate) fn end(self, signal: Signal) -> (Option<i32>, String) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
        self.ended()
    }

    /// Its exit code and what it said, once it has ended.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

pub(crate) fn run(folder: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = millrace(folder).args(args).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn up_serves_until_a_signal_and_then_stops_in_order() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let folder = tempfile::tempdir().unwrap();
        let up = Up::start(folder.path());
        let (code, out, err) = run(folder.path(), &["status", "--url", &up.url]);
        assert_eq!(code, Some(0), "{err}");
        assert!(out.contains("ready") && out.contains("shards: 2 of 2"), "{out}");
        let (code, said) = up.end(signal);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("Stopped in order"), "{said}");
    }
}

#[test]
fn up_runs_the_parts_that_it_is_told_and_keeps_the_log_for_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start_with(folder.path(), &["--parts", "commands-api"]);
    let (code, out, err) = run(folder.path(), &["status", "--url", &up.url]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("commands-api") && !out.contains("projector"), "{out}");
    assert!(!folder.path().join("data/views").exists(), "nobody keeps views");
    assert_eq!(up.end(Signal::SIGTERM).0, Some(0));

    let up = Up::start(folder.path());
    let (_, out, _) = run(folder.path(), &["status", "--url", &up.url]);
    assert!(out.contains("commands-api + projector + process-managers + query-api"), "{out}");
    assert_eq!(up.end(Signal::SIGTERM).0, Some(0));
}

#[test]
fn parts_that_cannot_run_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |parts: &str| {
        let (code, _, err) = run(folder.path(), &["up", "--data-dir", "data", "--parts", parts]);
        assert_eq!(code, Some(2), "{err}");
        err
    };
    assert!(refused("process-managers").contains("commands-api"));
    assert!(refused("kitchen").contains("possible values"));
}

#[test]
fn a_second_up_on_the_folder_says_whose_it_is_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(folder.path());
    let (code, _, err) = run(folder.path(), &["up", "--data-dir", "data", "--listen", "127.0.0.1:0"]);
    assert_eq!(code, Some(2));
    assert!(
        err.contains("error: the log in data/log is in use by another process\nhint: a running"),
        "{err}"
    );
    let address = up.url.trim_start_matches("http://").to_owned();
    let (code, _, err) = run(folder.path(), &["up", "--data-dir", "other", "--listen", &address]);
    assert_eq!(code, Some(2));
    assert!(err.contains("is in use\nhint: "), "{err}");
    assert_eq!(up.end(Signal::SIGTERM).0, Some(0));
}

#[test]
fn the_log_of_a_stopped_process_can_be_read_and_a_reader_that_leaves_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Up::start(folder.path()).end(Signal::SIGTERM).0, Some(0));
    let (code, out, err) = run(folder.path(), &["tail", "--data-dir", "data", "--from", "start", "--json"]);
    assert_eq!((code, out.as_str()), (Some(0), ""), "{err}");
    let (code, out, err) = run(folder.path(), &["verify", "--data-dir", "data"]);
    assert_eq!(code, Some(0), "{out}{err}");

    // Some records, through the process again.
    let up = Up::start(folder.path());
    let body = "{\"sku\":\"MUG\",\"name\":\"A mug\"}";
    let request = format!(
        "POST /v1/products HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = std::net::TcpStream::connect(up.url.trim_start_matches("http://")).unwrap();
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(up.end(Signal::SIGTERM).0, Some(0));
    let (_, out, _) = run(folder.path(), &["tail", "--data-dir", "data", "--from", "start"]);
    assert!(out.contains("millrace.product.drafted.v1"), "{out}");

    let mut tail = millrace(folder.path());
    tail.args(["tail", "--data-dir", "data", "--from", "start"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = tail.spawn().unwrap();
    drop(child.stdout.take());
    let left = child.wait_with_output().unwrap();
    assert_eq!((left.status.code(), String::from_utf8(left.stderr).unwrap().as_str()), (Some(0), ""));
}

#[test]
fn flags_beat_the_environment_which_beats_the_file_in_the_current_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("millrace.toml"),
        "namespace = \"file\"\npartitions = 3\nlisten = \"127.0.0.1:3\"\n",
    )
    .unwrap();
    let output = millrace(folder.path())
        .args(["up", "--dump-config", "--namespace", "flag"])
        .envs([("MILLRACE_NAMESPACE", "environment"), ("MILLRACE_PARTITIONS", "5"), ("MILLRACE_DEMO", "1")])
        .output()
        .unwrap();
    let dumped = String::from_utf8(output.stdout).unwrap();
    for line in ["namespace = \"flag\"", "partitions = 5", "listen = \"127.0.0.1:3\"", "demo = true"] {
        assert!(dumped.lines().any(|dumped| dumped == line), "{line} in\n{dumped}");
    }
}

#[test]
fn an_unknown_key_is_named_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("millrace.toml"), "[http]\nconnections = 3\n").unwrap();
    let (code, _, err) = run(folder.path(), &["up"]);
    assert_eq!(code, Some(2));
    assert!(
        err.contains("millrace.toml:2:1: key `http.connections`") && err.contains("\nhint: --dump-config"),
        "{err}"
    );
}

#[test]
fn what_cannot_be_tried_exits_with_two_and_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    for args in [
        &["status", "--url", "http://127.0.0.1:1"][..],
        &["tail", "--url", "http://127.0.0.1:1"],
        &["events", "order/1", "--url", "http://127.0.0.1:1"],
        &["verify", "--data-dir", "nowhere"],
        &["tail", "--data-dir", "nowhere"],
        &["serve", "projector"],
        &["topics", "init"],
    ] {
        let (code, _, err) = run(folder.path(), args);
        assert_eq!(code, Some(2), "{args:?}: {err}");
        assert!(err.starts_with("error: ") && err.contains("\nhint: "), "{args:?}: {err}");
    }
    assert_eq!(run(folder.path(), &["up", "--lissten", "x"]).0, Some(2));
    assert_eq!(run(folder.path(), &["--version"]).1, format!("millrace {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "none of it leaves anything behind");
}
