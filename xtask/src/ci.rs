//! `cargo xtask ci [--quick]`: everything that must hold before a change goes in. The README's test command.
//!
//! All of it is built in the release profile with all targets at once, so that nothing is compiled twice, neither between
//! the steps nor against the README's first command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;

use crate::infra::cassandra::{self, Cassandra};
use crate::infra::kafka::{self, Broker};
use crate::{process, tidy, workspace};

/// The flags of `ci`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Leave out what needs a JVM: the tests against a real Kafka or Cassandra say that they are skipped
    #[arg(long)]
    quick: bool,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Passed,
    /// Why it was left out.
    Skipped(String),
    Failed,
}

/// A line of the table at the end.
#[derive(Debug)]
struct Line {
    step: &'static str,
    outcome: Outcome,
    took: Duration,
}

/// Runs all steps up to the first that fails; prints a table of what was run and how long it took.
pub fn run(arguments: &Arguments) -> Result<()> {
    process::catch_interrupts();
    let mut lines = Vec::new();
    let result = steps(arguments.quick, &mut lines);
    print!("{}", table(&lines));
    result
}

fn steps(quick: bool, lines: &mut Vec<Line>) -> Result<()> {
    step(lines, "at hand", || prepare_servers(quick))?;
    step(lines, "format", || cargo(&["fmt", "--all", "--check"], "run `cargo fmt --all`"))?;
    step(lines, "lints", || {
        let arguments = ["clippy", "--workspace", "--all-targets", "--release", "--", "-D", "warnings"];
        cargo(&arguments, "each warning says what to do")
    })?;
    step(lines, "tidy", || tidy::run(&workspace::root()).map(|()| Outcome::Passed))?;
    step(lines, "build", || {
        // All members and their tests at once: the same features, so the same artefacts, as `cargo test` asks for.
        cargo(
            &["build", "--workspace", "--bins", "--examples", "--tests", "--release"],
            "see the compiler's errors",
        )
    })?;
    // Stopped when they go out of scope: at the end, on the first failure, and when we are interrupted.
    let mut servers = None;
    step(lines, "servers up", || {
        if quick {
            return Ok(Outcome::Skipped("--quick".to_owned()));
        }
        servers = Some(Servers { kafka: Broker::start("ci")?, cassandra: Cassandra::start("ci")? });
        Ok(Outcome::Passed)
    })?;
    step(lines, "tests", || tests(servers.as_ref()))?;
    step(lines, "scripts", || scripts(servers.as_ref()))?;
    if servers.is_some() {
        step(lines, "servers down", || {
            drop(servers.take());
            Ok(Outcome::Passed)
        })?;
    }
    Ok(())
}

/// The real servers that tests run against.
struct Servers {
    kafka: Broker,
    cassandra: Cassandra,
}

impl Servers {
    /// Of Kafka and of Cassandra.
    fn addresses(&self) -> (&str, &str) {
        (&self.kafka.address, self.cassandra.address())
    }
}

fn step(lines: &mut Vec<Line>, name: &'static str, action: impl FnOnce() -> Result<Outcome>) -> Result<()> {
    println!("\n=== {name}");
    let started = Instant::now();
    let result = process::check_interrupt().and_then(|()| action());
    let took = started.elapsed();
    let outcome = result.as_ref().map_or(Outcome::Failed, Clone::clone);
    println!("=== {name}: {} ({})", describe(&outcome), seconds(took));
    lines.push(Line { step: name, outcome, took });
    // Flattened to text: whatever the step's own exit code would be, a failed check is 1.
    result.map(|_| ()).map_err(|error| anyhow!("step '{name}': {error:#}"))
}

/// Fails early and in one line when there will be no server to test against, not after ten minutes of compiling.
fn prepare_servers(quick: bool) -> Result<Outcome> {
    if quick {
        return Ok(Outcome::Skipped("--quick".to_owned()));
    }
    let hint = "the tests need a real Kafka and a real Cassandra; `cargo xtask ci --quick` goes without";
    kafka::prepare().context(hint)?;
    cassandra::prepare().context(hint)?;
    Ok(Outcome::Passed)
}

fn tests(servers: Option<&Servers>) -> Result<Outcome> {
    match workspace::retail_file() {
        Some(file) if !file.exists() => {
            bail!("{}={} does not exist", workspace::RETAIL_FILE_VARIABLE, file.display());
        }
        Some(file) => println!("full data file: {}", file.display()),
        None => println!("skipped: the ten-month test ({} is not set)", workspace::RETAIL_FILE_VARIABLE),
    }
    if servers.is_none() {
        println!("skipped: the tests against a real Kafka and a real Cassandra (--quick)");
    }
    let mut command = workspace::cargo();
    // One failure doesn't hide the others: a run is long, and its report is all that the next session has.
    command.args(["test", "--workspace", "--release", "--no-fail-fast"]);
    environment(&mut command, servers.map(Servers::addresses));
    checked(&mut command, "the failed tests are named above")
}

/// The checks that share no code with ours, not even the language: `tests/test_*.py`.
fn scripts(servers: Option<&Servers>) -> Result<Outcome> {
    let scripts = find_scripts(&workspace::root().join("tests"));
    if scripts.is_empty() {
        return Ok(Outcome::Skipped("there is no tests/test_*.py".to_owned()));
    }
    if !process::on_path("python3") {
        return Ok(Outcome::Skipped("python3 is missing".to_owned()));
    }
    for script in scripts {
        println!("--- {}", script.display());
        let mut command = Command::new("python3");
        command.arg(&script).current_dir(workspace::root()).env("PYTHONDONTWRITEBYTECODE", "1");
        environment(&mut command, servers.map(Servers::addresses));
        checked(&mut command, "the script says what differs")?;
    }
    Ok(Outcome::Passed)
}

/// What tests find in their environment, whatever ours holds: the addresses of Kafka and of Cassandra.
fn environment(command: &mut Command, servers: Option<(&str, &str)>) {
    command.env(workspace::BINARY_VARIABLE, workspace::binary());
    let variables = [kafka::ADDRESS_VARIABLE, cassandra::ADDRESS_VARIABLE];
    match servers {
        Some((kafka, cassandra)) => command.envs(variables.into_iter().zip([kafka, cassandra])),
        None => variables.into_iter().fold(command, |command, name| command.env_remove(name)),
    };
}

fn find_scripts(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_script = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("test_") && name.ends_with(".py")
    };
    let mut scripts: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_script).collect();
    scripts.sort();
    scripts
}

fn cargo(arguments: &[&str], hint: &str) -> Result<Outcome> {
    checked(workspace::cargo().args(arguments), hint)
}

fn checked(command: &mut Command, hint: &str) -> Result<Outcome> {
    let status = process::run(command)?;
    if !status.success() {
        let arguments: Vec<_> =
            command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
        let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
        bail!("`{program} {}` failed; {hint}", arguments.join(" "));
    }
    Ok(Outcome::Passed)
}

fn table(lines: &[Line]) -> String {
    let mut table = String::from("\n");
    for Line { step, outcome, took } in lines {
        table.push_str(&format!("{step:<14} {:>8}  {}\n", seconds(*took), describe(outcome)));
    }
    let total = lines.iter().map(|line| line.took).sum();
    table.push_str(&format!("{:<14} {:>8}\n", "together", seconds(total)));
    table
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Passed => "passed".to_owned(),
        Outcome::Skipped(why) => format!("skipped: {why}"),
        Outcome::Failed => "FAILED".to_owned(),
    }
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_ends_the_steps_and_is_in_the_table() {
        let mut lines = Vec::new();
        step(&mut lines, "one", || Ok(Outcome::Passed)).unwrap();
        step(&mut lines, "two", || Ok(Outcome::Skipped("no need".to_owned()))).unwrap();
        let error = step(&mut lines, "three", || bail!("the reason")).unwrap_err();
        assert_eq!(format!("{error:#}"), "step 'three': the reason");
        let table = table(&lines);
        let words: Vec<Vec<&str>> =
            table.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[0][3..], ["passed"]);
        assert_eq!(words[1][3..], ["skipped:", "no", "need"]);
        assert_eq!(words[2][3..], ["FAILED"]);
        assert_eq!(words[3][0], "together");
    }

    #[test]
    fn a_command_that_fails_is_named_with_a_hint() {
        let error = checked(Command::new("sh").args(["-c", "exit 1"]), "try again").unwrap_err();
        assert_eq!(error.to_string(), "`sh -c exit 1` failed; try again");
        assert_eq!(checked(&mut Command::new("true"), "").unwrap(), Outcome::Passed);
    }

    #[test]
    fn scripts_are_found_by_name_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["test_b.py", "test_a.py", "expectation.py", "test_notes.md"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let names: Vec<_> =
            find_scripts(dir.path()).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["test_a.py", "test_b.py"]);
    }

    #[test]
    fn quick_tests_see_no_server_even_if_the_environment_has_one() {
        for name in [kafka::ADDRESS_VARIABLE, cassandra::ADDRESS_VARIABLE] {
            let mut command = Command::new("true");
            environment(&mut command, None);
            assert!(command.get_envs().any(|(known, value)| known == name && value.is_none()));
            environment(&mut command, Some(("a:1", "b:1")));
            assert!(command.get_envs().any(|(known, value)| known == name && value.is_some()));
        }
    }
}
