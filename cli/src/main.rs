//! The `millrace` binary: parse, telemetry, run, exit code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    millrace::run(millrace::Cli::parse())
}
