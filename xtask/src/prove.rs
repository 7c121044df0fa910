//! `cargo xtask prove [name]`: longer proofs. The tests' own code, with more rounds (`MILLRACE_ROUNDS`).

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::infra::Unavailable;
use crate::infra::kafka::{self, Broker};
use crate::{process, workspace};

/// The environment variable that tests read for how often to repeat a randomised scenario.
pub const ROUNDS_VARIABLE: &str = "MILLRACE_ROUNDS";

/// The flags of `prove`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The proof to run; without it, the list
    name: Option<String>,
    /// How often, instead of the proof's own number
    #[arg(long)]
    rounds: Option<u32>,
}

/// A test that is worth running for longer.
#[derive(Debug)]
struct Proof {
    name: &'static str,
    description: &'static str,
    package: &'static str,
    /// The part of the tests' names.
    filter: &'static str,
    rounds: u32,
    needs_full_file: bool,
}

const PROOFS: [Proof; 11] = [
    Proof {
        name: "contract",
        description: "the log's contract suite on both backends: atomic, fenced, in order, to the exact stable end",
        package: "event-log",
        filter: "contract",
        rounds: 50,
        needs_full_file: false,
    },
    Proof {
        name: "checkout",
        description: "checkout with declines, time-outs, duplicates and reorderings: no final balance changes",
        package: "system-tests",
        filter: "checkout",
        rounds: 50,
        needs_full_file: false,
    },
    Proof {
        name: "race",
        description: "2,000 buyers at once for 300 units, of one or two lines, with kills: nothing sold twice or lost",
        package: "system-tests",
        filter: "race::",
        rounds: 3,
        needs_full_file: false,
    },
    Proof {
        name: "crash-import",
        description: "kill -9 at 20 random moments of an import: resumed, it comes to what an undisturbed one does",
        package: "system-tests",
        filter: "crash_import::",
        rounds: 20,
        needs_full_file: false,
    },
    Proof {
        name: "crash-history",
        description: "random load on a shop that is killed, stopped and frozen: whatever clients were told is true",
        package: "system-tests",
        filter: "crash_history::",
        rounds: 20,
        needs_full_file: false,
    },
    Proof {
        name: "fail-points",
        description: "the process ends at every edge between decide and checkpoint: whatever clients were told is true",
        package: "system-tests",
        filter: "fail_points::",
        rounds: 10,
        needs_full_file: false,
    },
    Proof {
        name: "cluster",
        description: "several nodes: takeover, rolling restart, an owner that wakes up after it was replaced",
        package: "system-tests",
        filter: "cluster::",
        rounds: 1,
        needs_full_file: false,
    },
    Proof {
        name: "cluster-history",
        description: "random load on nodes that are killed, stopped and frozen: whatever clients were told is true",
        package: "system-tests",
        filter: "cluster_history::",
        rounds: 20,
        needs_full_file: false,
    },
    Proof {
        name: "brokers",
        description: "brokers that die, sleep and come back under load, alone and of three: callers are told what is true",
        package: "system-tests",
        filter: "brokers::",
        rounds: 1,
        needs_full_file: false,
    },
    Proof {
        name: "soak",
        description: "so many minutes of random load and kills of every process: all told is true, and nothing grows",
        package: "system-tests",
        filter: "soak::",
        rounds: 30,
        needs_full_file: false,
    },
    Proof {
        name: "ten-months",
        description: "the whole data file into both shapes, verified and compared with an independent reading",
        package: "system-tests",
        filter: "ten_months",
        rounds: 1,
        needs_full_file: true,
    },
];

/// A script under `tests/` that is worth running for longer; it starts what it needs by itself.
#[derive(Debug)]
struct Script {
    name: &'static str,
    description: &'static str,
    file: &'static str,
    rounds: u32,
}

const SCRIPTS: [Script; 1] = [Script {
    name: "sweep",
    description: "generated requests to every operation: no 5xx but documented 503s, no answer that is not documented",
    file: "test_openapi_sweep.py",
    rounds: 20,
}];

/// Runs the named proof, tests against a real Kafka, or lists all.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Some(name) = &arguments.name else {
        for (name, description) in listing() {
            println!("{name:<15} {description}");
        }
        return Ok(());
    };
    if let Some(script) = SCRIPTS.iter().find(|script| script.name == name) {
        return run_script(script, arguments.rounds.unwrap_or(script.rounds));
    }
    let proof = PROOFS.iter().find(|proof| proof.name == name);
    let proof =
        proof.with_context(|| format!("no proof is called '{name}'; `cargo xtask prove` lists them"))?;
    if proof.needs_full_file && !workspace::retail_file().is_some_and(|file| file.exists()) {
        let variable = workspace::RETAIL_FILE_VARIABLE;
        let message = format!(
            "{name} needs the full data file: set {variable} to its path (docs say where it is from)"
        );
        return Err(Unavailable(message).into());
    }
    process::catch_interrupts();
    kafka::prepare()?;
    if proof.package == "system-tests" {
        succeed(workspace::cargo().args(["build", "--release", "--package", "millrace"]))?;
    }
    let count = count_tests(proof)?;
    ensure!(
        count > 0,
        "no test of {} has '{}' in its name: nothing would be proved",
        proof.package,
        proof.filter
    );
    let rounds = arguments.rounds.unwrap_or(proof.rounds);
    println!("{name}: {count} tests, {rounds} rounds");
    let broker = Broker::start("prove")?;
    let mut command = test_command(proof);
    command.args(["--", "--nocapture"]);
    command.env(ROUNDS_VARIABLE, rounds.to_string());
    command.env(kafka::ADDRESS_VARIABLE, &broker.address);
    command.env(workspace::BINARY_VARIABLE, workspace::binary());
    succeed(&mut command).with_context(|| format!("{name} is not proved"))?;
    println!("{name}: proved");
    Ok(())
}

/// Every proof's name and description.
fn listing() -> impl Iterator<Item = (&'static str, &'static str)> {
    let tests = PROOFS.iter().map(|proof| (proof.name, proof.description));
    tests.chain(SCRIPTS.iter().map(|script| (script.name, script.description)))
}

fn run_script(script: &Script, rounds: u32) -> Result<()> {
    if !process::on_path("python3") {
        return Err(Unavailable(format!("{} needs python3", script.name)).into());
    }
    process::catch_interrupts();
    succeed(workspace::cargo().args(["build", "--release", "--package", "millrace"]))?;
    println!("{}: {rounds} rounds", script.name);
    let mut command = Command::new("python3");
    command.arg(workspace::root().join("tests").join(script.file)).current_dir(workspace::root());
    command.env("PYTHONDONTWRITEBYTECODE", "1").env(ROUNDS_VARIABLE, rounds.to_string());
    command.env(workspace::BINARY_VARIABLE, workspace::binary());
    succeed(&mut command).with_context(|| format!("{} is not proved", script.name))?;
    println!("{}: proved", script.name);
    Ok(())
}

fn test_command(proof: &Proof) -> Command {
    let mut command = workspace::cargo();
    command.args(["test", "--release", "--package", proof.package, "--test", "it", proof.filter]);
    command
}

/// A filter that no test matches would pass in silence.
fn count_tests(proof: &Proof) -> Result<usize> {
    succeed(test_command(proof).arg("--no-run"))?;
    let output = test_command(proof).args(["--", "--list"]).output().context("cannot start cargo")?;
    ensure!(output.status.success(), "cannot list the tests: {}", String::from_utf8_lossy(&output.stderr));
    Ok(listed(&String::from_utf8_lossy(&output.stdout)))
}

fn listed(output: &str) -> usize {
    output.lines().filter(|line| line.ends_with(": test")).count()
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = process::run(command)?;
    if !status.success() {
        bail!("{} {status}", command.get_program().to_string_lossy());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_proof_says_where_the_list_is() {
        let arguments = Arguments { name: Some("magic".to_owned()), rounds: None };
        assert!(run(&arguments).unwrap_err().to_string().contains("`cargo xtask prove` lists them"));
    }

    #[test]
    fn names_are_unique() {
        for (name, _) in listing() {
            assert_eq!(listing().filter(|(other, _)| *other == name).count(), 1, "{name}");
        }
    }

    #[test]
    fn scripts_are_there() {
        for script in &SCRIPTS {
            assert!(workspace::root().join("tests").join(script.file).is_file(), "{}", script.file);
        }
    }

    #[test]
    fn only_tests_are_counted() {
        assert_eq!(
            listed("contract::a: test\ncontract::b: test\ncontract::c: benchmark\n\n2 tests, 1 benchmark\n"),
            2
        );
        assert_eq!(listed("\n0 tests, 0 benchmarks\n"), 0);
    }
}
