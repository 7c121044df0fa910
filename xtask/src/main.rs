//! `cargo xtask`: parse, run, exit code (1 failed, 2 cannot do that here).

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{bench, ci, infra, prove, tidy, workspace};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own tooling", disable_version_flag = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check everything: format, lints, tidy, build, all tests with a real Kafka
    Ci(ci::Arguments),
    /// Check what the compiler does not: the dependency table, released schemas, house style
    Tidy {
        /// Add the schemas that are final to the list of released ones, which never change
        #[arg(long)]
        release_schemas: bool,
    },
    /// Run a longer proof, or list them
    Prove(prove::Arguments),
    /// Run a measurement, or list them
    Bench(bench::Arguments),
    /// Start, stop or list the real servers that tests talk to
    #[command(subcommand)]
    Infra(infra::Action),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Ci(arguments) => ci::run(&arguments),
        Task::Tidy { release_schemas: false } => tidy::run(&workspace::root()),
        Task::Tidy { release_schemas: true } => tidy::release_schemas(&workspace::root()),
        Task::Prove(arguments) => prove::run(&arguments),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Infra(action) => infra::run(&action),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            if error.is::<infra::Unavailable>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}
