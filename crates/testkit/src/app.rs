//! The real program, started by a test.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::{SOON, Shape};

/// A running platform with a folder of its own. Dropping it kills it.
pub struct TestApp {
    program: PathBuf,
    shape: Shape,
    folder: TempDir,
    port: u16,
    child: Option<Child>,
    /// What the program is told to do: `up`, or `serve` and a part.
    task: Vec<String>,
    variables: Vec<(String, String)>,
    client: reqwest::Client,
    flags: Vec<String>,
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: reqwest::header::HeaderMap,
    /// Body; null when it is not JSON.
    pub body: Value,
}

impl Answer {
    /// A header as text; empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body of a success; panics with the whole answer otherwise.
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        self.body
    }
}

impl TestApp {
    /// Starts `program up` and waits until it is ready.
    pub async fn start(program: impl AsRef<Path>, shape: Shape) -> Self {
        Self::start_with(program, shape, &[]).await
    }

    /// The same with further flags.
    pub async fn start_with(program: impl AsRef<Path>, shape: Shape, flags: &[&str]) -> Self {
        Self::start_task(program, shape, &["up"], flags).await
    }

    /// Starts `program serve commands-api` as one of several nodes, and waits until it is ready. The topics must exist.
    pub async fn start_node(program: impl AsRef<Path>, shape: Shape, flags: &[&str]) -> Self {
        Self::start_task(program, shape, &["serve", "commands-api"], flags).await
    }

    async fn start_task(program: impl AsRef<Path>, shape: Shape, task: &[&str], flags: &[&str]) -> Self {
        let client = reqwest::Client::builder()
            .timeout(SOON)
            .build()
            .expect("a client without TLS has no preconditions");
        let mut app = Self {
            program: program.as_ref().to_owned(),
            shape,
            folder: tempfile::tempdir().expect("a temporary folder can be made"),
            port: free_port(),
            child: None,
            task: task.iter().map(|word| (*word).to_owned()).collect(),
            variables: Vec::new(),
            client,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        };
        app.launch().await;
        app
    }

    /// Starts the program (again) on the same folder, log and port, and waits until it is ready.
    pub async fn launch(&mut self) {
        self.spawn();
        let deadline = Instant::now() + SOON;
        loop {
            let answer = self.client.get(format!("{}/health/ready", self.url())).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(ended.is_none() && Instant::now() < deadline, "not ready ({ended:?}):\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// As [`TestApp::launch`], without waiting for anything.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .expect("the log file can be made");
        let child = Command::new(&self.program)
            .args(&self.task)
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(self.shape.flags())
            .args(&self.flags)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program can be started");
        self.child = Some(child);
    }

    /// What the program finds in its environment from its next start on.
    pub fn set_variables(&mut self, variables: &[(&str, &str)]) {
        self.variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    }

    /// Waits until it has ended by itself; panics when it does not.
    pub async fn ends(&mut self) -> ExitStatus {
        let deadline = Instant::now() + SOON;
        loop {
            let child = self.child.as_mut().expect("it runs");
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                self.child = None;
                return status;
            }
            assert!(Instant::now() < deadline, "it did not end:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Which log it runs on.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// What it has written to stderr.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Stops it without its knowing (SIGSTOP), as a machine that sleeps.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// SIGTERM, without waiting for the end.
    pub fn ask_to_end(&self) {
        self.signal(Signal::SIGTERM);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("process ids are small"));
        kill(pid, signal).expect("a child that was not waited for can be signalled");
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and waits for the end (bounded; then it is killed and the test fails).
    pub fn terminate(&mut self) -> ExitStatus {
        self.ask_to_end();
        let mut child = self.child.take().expect("it runs");
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                return status;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                panic!("it did not end on SIGTERM:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs another command of the program to its end.
    pub async fn command(&self, arguments: &[&str]) -> Output {
        tokio::process::Command::new(&self.program)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .await
            .expect("the program can be started")
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.client.get(format!("{}{path}", self.url()))).await
    }

    /// `GET` of a view that has reached `position`.
    pub async fn get_at(&self, path: &str, position: &str) -> Answer {
        let request = self.client.get(format!("{}{path}", self.url()));
        self.send(request.header("Millrace-Min-Position", position)).await
    }

    /// `POST` of JSON.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.client.post(format!("{}{path}", self.url())).json(&body)).await
    }

    /// `POST` of JSON under an idempotency key.
    pub async fn post_once(&self, key: &str, path: &str, body: Value) -> Answer {
        let request = self.client.post(format!("{}{path}", self.url())).json(&body);
        self.send(request.header("Idempotency-Key", key)).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap_or_else(|error| panic!("{error:?}\n{}", self.log()));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.unwrap_or_default();
        Answer { status, headers, body: serde_json::from_slice(&bytes).unwrap_or_default() }
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("stderr.log")
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody listens on at the moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}
