//! The product's own program, built for the system tests: see `cli/src/main.rs`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    millrace::run(millrace::Cli::parse())
}
