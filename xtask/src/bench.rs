//! `cargo xtask bench [name]`: measurements, each a binary of the `benches` package.

use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::infra::kafka::{self, Broker};
use crate::infra::postgres::{self, Postgres};
use crate::{process, workspace};

/// What is shipped is what is measured, the peers too.
const PROFILE: &str = "dist";

/// The flags of `bench`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The measurement to run; without it, the list
    name: Option<String>,
    /// Given to the measurement as they are
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// A binary that measures.
#[derive(Debug)]
struct Bench {
    name: &'static str,
    description: &'static str,
    /// Further programs that it starts, as package and binary.
    starts: &'static [(&'static str, &'static str)],
    needs_kafka: bool,
    needs_postgres: bool,
}

const BENCHES: [Bench; 3] = [
    Bench {
        name: "commands",
        description: "commands per second and latency over HTTP, in both shapes, beside cqrs-es on PostgreSQL and the HTTP ceiling",
        starts: &[("millrace", "millrace")],
        needs_kafka: true,
        needs_postgres: true,
    },
    Bench {
        name: "log",
        description: "commit latency and throughput of the log's writers beside the broker's ceilings",
        starts: &[],
        needs_kafka: true,
        needs_postgres: false,
    },
    Bench {
        name: "refold",
        description: "folding a shard from nothing, beside a bare loop over the same events",
        starts: &[],
        needs_kafka: true,
        needs_postgres: false,
    },
];

/// Runs the named measurement, with a fresh Kafka and a fresh PostgreSQL where it needs them, or lists all.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Some(name) = &arguments.name else {
        for bench in &BENCHES {
            println!("{:<12} {}", bench.name, bench.description);
        }
        return Ok(());
    };
    let bench = BENCHES.iter().find(|bench| bench.name == name);
    let bench = bench
        .with_context(|| format!("no measurement is called '{name}'; `cargo xtask bench` lists them"))?;
    process::catch_interrupts();
    if bench.needs_postgres {
        postgres::prepare()?;
    }
    // Built before the broker starts: the compiler would only take its memory and its time.
    let mut build = workspace::cargo();
    build.args(["build", "--profile", PROFILE, "--package", "benches", "--bin", bench.name]);
    for (package, binary) in bench.starts {
        build.args(["--package", package, "--bin", binary]);
    }
    if !process::run(&mut build)?.success() || (bench.needs_postgres && !build_peer()?) {
        bail!("{name} does not build");
    }
    let broker = if bench.needs_kafka { Some(Broker::start("bench")?) } else { None };
    let database = if bench.needs_postgres { Some(Postgres::start("bench")?) } else { None };
    let mut command = Command::new(workspace::target_dir().join(PROFILE).join(bench.name));
    command.args(&arguments.arguments);
    if let Some(broker) = &broker {
        command.env(kafka::ADDRESS_VARIABLE, &broker.address);
    }
    if let Some(database) = &database {
        command.env(postgres::URL_VARIABLE, &database.url);
        command.env(postgres::PROCESS_VARIABLE, database.process.to_string());
    }
    let status = process::run(&mut command)?;
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    Ok(())
}

/// Builds the peer that PostgreSQL is for: a package of its own, beside our binaries.
fn build_peer() -> Result<bool> {
    let manifest = workspace::root().join("benches/peer_postgres/Cargo.toml");
    let mut build = workspace::cargo();
    build.args(["build", "--profile", PROFILE, "--locked", "--manifest-path"]).arg(manifest);
    build.arg("--target-dir").arg(workspace::target_dir());
    Ok(process::run(&mut build)?.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_measurement_says_where_the_list_is() {
        let arguments = Arguments { name: Some("speed".to_owned()), arguments: Vec::new() };
        assert!(run(&arguments).unwrap_err().to_string().contains("`cargo xtask bench` lists them"));
    }
}
