//! `cargo xtask tidy`: what the compiler does not check. Every violation says where, what, and the way out.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

mod code;
mod dependencies;
mod layout;
mod released;
mod source;
mod text;

/// A rule broken in one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Relative to the workspace's root.
    pub path: PathBuf,
    /// The first line is 1.
    pub line: usize,
    /// What is wrong, and the way out.
    pub what: String,
}

impl Violation {
    fn new(path: impl AsRef<Path>, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.as_ref().to_path_buf(), line, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path.display(), self.line, self.what)
    }
}

/// Checks the tree under `root` and prints what it finds; any violation is an error.
pub fn run(root: &Path) -> Result<()> {
    let sources = source::read_tree(root)?;
    let packages = dependencies::read_packages(root)?;
    let mut violations = Vec::new();
    violations.extend(dependencies::check(&packages));
    violations.extend(layout::check(root, &sources));
    violations.extend(text::check(&sources));
    violations.extend(code::check(&sources, &packages));
    violations.extend(released::check(root)?);
    violations.sort();
    for warning in text::warnings(&sources) {
        println!("warning: {warning}");
    }
    for violation in &violations {
        println!("{violation}");
    }
    match violations.len() {
        0 => {
            println!("tidy: {} packages, {} files, no violation", packages.len(), sources.len());
            Ok(())
        }
        1 => bail!("tidy: 1 violation"),
        count => bail!("tidy: {count} violations"),
    }
}

/// Appends the schemas that are not yet released to the list of released ones; refuses if a released one has changed.
pub fn release_schemas(root: &Path) -> Result<()> {
    for file in released::release(root)? {
        println!("released {file}");
    }
    Ok(())
}
