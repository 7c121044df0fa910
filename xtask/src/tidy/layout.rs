//! Where files are: the names at the root, no `mod.rs`, libraries without a `main.rs`.

use std::path::Path;

use super::Violation;
use super::source::Source;

/// What the design promises to find at the root.
const ROOT_NAMES: [&str; 20] = [
    "README.md",
    "ARCHITECTURE.md",
    "LICENSE",
    "Cargo.toml",
    "Cargo.lock",
    "docker-compose.kafka.yml",
    "schemas",
    "aggregates",
    "commands-api",
    "projections",
    "query-api",
    "crates",
    "services",
    "cli",
    "tests",
    "benches",
    "deploy",
    "docs",
    "release-notes/unreleased",
    "xtask",
];

const ARCHITECTURE_LINES_MAX: usize = 300;

pub(super) fn check(root: &Path, sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for name in ROOT_NAMES.iter().filter(|name| !root.join(name).exists()) {
        violations.push(Violation::new(name, 1, "is missing at the root; the design's map promises it"));
    }
    let architecture = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default();
    let lines = architecture.lines().count();
    if lines > ARCHITECTURE_LINES_MAX {
        let what =
            format!("{lines} lines, {ARCHITECTURE_LINES_MAX} at most; move detail to the crates' docs");
        violations.push(Violation::new("ARCHITECTURE.md", lines, what));
    }
    violations.extend(sources.iter().filter_map(misplaced));
    violations
}

fn misplaced(source: &Source) -> Option<Violation> {
    let path = source.path.as_path();
    if path.ends_with("mod.rs") {
        return Some(Violation::new(
            path,
            1,
            "a `mod.rs`; name the module's file after it, beside its folder",
        ));
    }
    let library = path.starts_with("crates");
    (library && path.ends_with("src/main.rs"))
        .then(|| Violation::new(path, 1, "a binary under crates/; libraries live there, `cli` composes them"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_missing_root_name_is_found() {
        let dir = tempfile::tempdir().unwrap();
        for name in ROOT_NAMES {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        assert_eq!(check(dir.path(), &[]), []);
        fs::remove_dir_all(dir.path().join("deploy")).unwrap();
        let found = check(dir.path(), &[]);
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().starts_with("deploy:1: is missing"));
    }

    #[test]
    fn modules_are_named_and_libraries_have_no_binary() {
        let source = |path: &str| Source { path: path.into(), text: String::new() };
        assert!(misplaced(&source("schemas/src/order/mod.rs")).is_some());
        assert!(misplaced(&source("crates/event-log/src/main.rs")).is_some());
        assert!(misplaced(&source("cli/src/main.rs")).is_none());
        assert!(misplaced(&source("crates/event-log/src/model.rs")).is_none());
    }
}
