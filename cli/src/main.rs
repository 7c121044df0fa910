//! The `millrace` binary: parse, telemetry, run, exit code.

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    millrace::run(millrace::Cli::parse())
}
