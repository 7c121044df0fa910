//! Where things are: the project's root and its build folder.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder that holds the workspace's `Cargo.toml`.
pub fn root() -> PathBuf {
    // Cargo sets the variable when it runs us; the compiled-in value serves a binary that is called directly.
    let manifest_dir =
        env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let manifest_dir = Path::new(&manifest_dir);
    manifest_dir.parent().unwrap_or(manifest_dir).to_path_buf()
}

/// The build folder: `CARGO_TARGET_DIR`, or `target` under the root.
pub fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The environment variable with the path of the ten-month data file; tests that need the file skip without it.
pub const RETAIL_FILE_VARIABLE: &str = "MILLRACE_RETAIL_FILE";

/// The environment variable with the path of the built `millrace`, for tests that start it as a process.
pub const BINARY_VARIABLE: &str = "MILLRACE_BIN";

/// The `millrace` that `cargo build --release` makes.
pub fn binary() -> PathBuf {
    target_dir().join("release/millrace")
}

/// The ten-month data file, if the environment names one.
pub fn retail_file() -> Option<PathBuf> {
    env::var_os(RETAIL_FILE_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Cargo in the root, without the variables that describe us to ourselves.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    for (name, _) in env::vars_os() {
        let ours =
            ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix));
        if ours {
            command.env_remove(name);
        }
    }
    command
}
