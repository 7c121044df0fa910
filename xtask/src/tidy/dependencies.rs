//! The dependency table of the design, proved from the manifests: who may use whom, and the only place for what.
//!
//! Normal and build dependencies count, for they ship. Development dependencies are free: a test may hold two crates
//! against each other that never meet in the product. Only one thing is asked of them, that the graph of all kinds
//! together has no cycle: Cargo would allow one through a development dependency, and the test then sees two copies of
//! its own crate whose types don't match.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, MetadataCommand};

use super::Violation;

/// A package of the workspace, with just what the checks need.
#[derive(Debug, Clone)]
pub(super) struct Package {
    pub(super) name: String,
    /// Relative to the root; empty for fabricated ones.
    pub(super) folder: PathBuf,
    pub(super) dependencies: Vec<Dependency>,
}

/// One line of a manifest.
#[derive(Debug, Clone)]
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) for_tests: bool,
    /// The line in the manifest.
    pub(super) line: usize,
}

/// What a package may use of ours.
enum MayUse {
    Only(&'static [&'static str]),
    /// It composes the product: everything but the tooling.
    Product,
    /// It tests or measures the product.
    Anything,
}

/// One row for each package, as in the design; a package without a row is a violation.
const TABLE: [(&str, MayUse); 16] = [
    ("schemas", MayUse::Only(&[])),
    ("aggregates", MayUse::Only(&["schemas"])),
    ("service-kit", MayUse::Only(&["schemas"])),
    ("event-log", MayUse::Only(&["schemas", "service-kit"])),
    ("read-store", MayUse::Only(&["schemas", "service-kit"])),
    ("aggregate-host", MayUse::Only(&["schemas", "service-kit", "aggregates", "event-log"])),
    ("command-client", MayUse::Only(&["schemas", "service-kit"])),
    ("commands-api", MayUse::Only(&["schemas", "service-kit", "auth", "aggregate-host", "command-client"])),
    ("projections", MayUse::Only(&["schemas", "service-kit", "event-log", "read-store"])),
    ("query-api", MayUse::Only(&["schemas", "service-kit", "auth", "read-store", "projections"])),
    (
        "process-managers",
        MayUse::Only(&["schemas", "service-kit", "event-log", "read-store", "command-client"]),
    ),
    ("millrace", MayUse::Product),
    ("testkit", MayUse::Anything),
    ("system-tests", MayUse::Anything),
    ("benches", MayUse::Anything),
    ("xtask", MayUse::Only(&[])),
];

/// Not part of the product, so nothing in the product may use it.
const TOOLING: [&str; 4] = ["testkit", "system-tests", "benches", "xtask"];

/// A foreign crate and the only packages for it.
const ONLY_PLACES: [(&str, &[&str]); 11] = [
    ("rdkafka", &["event-log"]),
    ("rdkafka-sys", &["event-log"]),
    ("schema_registry_converter", &["event-log"]),
    ("scylla", &["read-store"]),
    ("cqrs-es", &["schemas", "aggregates", "aggregate-host"]),
    ("axum", &["service-kit", "commands-api", "query-api", "millrace"]),
    ("clap", &["millrace", "xtask"]),
    ("indicatif", &["millrace", "xtask"]),
    ("tantivy", &["projections"]),
    ("tracing-subscriber", &["service-kit"]),
    // The rules of the shop do no IO and start no task.
    (
        "tokio",
        &[
            "service-kit",
            "event-log",
            "read-store",
            "aggregate-host",
            "command-client",
            "commands-api",
            "projections",
            "query-api",
            "process-managers",
            "millrace",
        ],
    ),
];

/// Reads the manifests of all members.
pub(super) fn read_packages(root: &Path) -> Result<Vec<Package>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cannot read the manifests")?;
    let mut packages = Vec::new();
    for package in &metadata.packages {
        let manifest = package.manifest_path.as_std_path();
        let text =
            fs::read_to_string(manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
        let folder = manifest.parent().unwrap_or(root);
        let dependencies = package.dependencies.iter().map(|dependency| Dependency {
            name: dependency.name.clone(),
            for_tests: dependency.kind == DependencyKind::Development,
            line: line_of(&text, dependency.rename.as_ref().unwrap_or(&dependency.name)),
        });
        packages.push(Package {
            name: package.name.to_string(),
            folder: folder.strip_prefix(root).unwrap_or(folder).to_path_buf(),
            dependencies: dependencies.collect(),
        });
    }
    packages.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(packages)
}

pub(super) fn check(packages: &[Package]) -> Vec<Violation> {
    let ours: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let mut violations = Vec::new();
    for package in packages {
        let manifest = package.folder.join("Cargo.toml");
        let Some((_, may_use)) = TABLE.iter().find(|(name, _)| *name == package.name) else {
            let what = format!(
                "{} is not in the dependency table; give it a row in the design and in xtask/src/tidy/dependencies.rs",
                package.name
            );
            violations.push(Violation::new(&manifest, 1, what));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| !dependency.for_tests) {
            let problem = if ours.contains(dependency.name.as_str()) {
                own_problem(&package.name, may_use, &dependency.name)
            } else {
                foreign_problem(&package.name, may_use, &dependency.name)
            };
            violations.extend(problem.map(|what| Violation::new(&manifest, dependency.line, what)));
        }
    }
    violations.extend(cycle(packages));
    violations
}

fn own_problem(package: &str, may_use: &MayUse, used: &str) -> Option<String> {
    let allowed = match may_use {
        MayUse::Only(allowed) => allowed.contains(&used),
        MayUse::Product => !TOOLING.contains(&used),
        MayUse::Anything => true,
    };
    let what = format!(
        "{package} may not use {used} (the design's dependency table); move the shared part down, or ask for an edge with \
         an ADR"
    );
    (!allowed).then_some(what)
}

fn foreign_problem(package: &str, may_use: &MayUse, used: &str) -> Option<String> {
    if matches!(may_use, MayUse::Anything) {
        return None;
    }
    let (_, places) = ONLY_PLACES.iter().find(|(name, _)| *name == used)?;
    let what =
        format!("{used} belongs in {} only, not in {package}; use what that offers", places.join(", "));
    (!places.contains(&package)).then_some(what)
}

/// Follows dependencies of every kind; a way back to the start is a cycle.
fn cycle(packages: &[Package]) -> Option<Violation> {
    let by_name: BTreeMap<&str, &Package> =
        packages.iter().map(|package| (package.name.as_str(), package)).collect();
    let mut done = BTreeSet::new();
    packages.iter().find_map(|package| visit(package, &by_name, &mut Vec::new(), &mut done))
}

fn visit<'a>(
    package: &'a Package,
    by_name: &BTreeMap<&str, &'a Package>,
    path: &mut Vec<&'a str>,
    done: &mut BTreeSet<&'a str>,
) -> Option<Violation> {
    if done.contains(package.name.as_str()) {
        return None;
    }
    path.push(&package.name);
    // A package may name itself for its tests: that switches on a feature and makes no second copy.
    for dependency in package.dependencies.iter().filter(|dependency| dependency.name != package.name) {
        let Some(next) = by_name.get(dependency.name.as_str()) else { continue };
        if let Some(start) = path.iter().position(|name| *name == next.name) {
            let circle = path[start..].join(" → ");
            let what = format!(
                "the dependencies go in a circle: {circle} → {}; move the test to the package at the end of the chain",
                next.name
            );
            return Some(Violation::new(package.folder.join("Cargo.toml"), dependency.line, what));
        }
        if let Some(violation) = visit(next, by_name, path, done) {
            return Some(violation);
        }
    }
    path.pop();
    done.insert(&package.name);
    None
}

/// The manifest's line for a dependency; 1 when it is written in an unusual way.
fn line_of(manifest: &str, name: &str) -> usize {
    let is_it = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', ' ', '=']));
    manifest.lines().position(is_it).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, uses: &[&str]) -> Package {
        let dependencies = uses.iter().map(|used| Dependency {
            name: used.trim_start_matches("test:").to_owned(),
            for_tests: used.starts_with("test:"),
            line: 3,
        });
        Package { name: name.to_owned(), folder: PathBuf::from(name), dependencies: dependencies.collect() }
    }

    fn found(packages: &[Package]) -> Vec<String> {
        check(packages).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_read_side_never_depends_on_aggregates() {
        let schemas = || package("schemas", &[]);
        let aggregates = || package("aggregates", &["schemas"]);
        for reader in ["projections", "query-api", "process-managers", "commands-api"] {
            let found = found(&[schemas(), aggregates(), package(reader, &["aggregates"])]);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(&format!("{reader}/Cargo.toml:3: {reader} may not use aggregates")));
        }
        assert_eq!(found(&[schemas(), aggregates(), package("millrace", &["aggregates"])]), [""; 0]);
    }

    #[test]
    fn every_row_allows_what_it_names_and_nothing_else() {
        let names: Vec<&str> = TABLE.iter().map(|(name, _)| *name).collect();
        for (name, may_use) in &TABLE {
            for used in names.iter().filter(|used| *used != name) {
                let packages = [package(name, &[used]), package(used, &[])];
                let allowed = match may_use {
                    MayUse::Only(allowed) => allowed.contains(used),
                    MayUse::Product => !TOOLING.contains(used),
                    MayUse::Anything => true,
                };
                assert_eq!(found(&packages).is_empty(), allowed, "{name} uses {used}");
            }
        }
    }

    #[test]
    fn a_foreign_crate_has_its_only_place() {
        for (used, places) in ONLY_PLACES {
            for (name, may_use) in &TABLE {
                let allowed = places.contains(name) || matches!(may_use, MayUse::Anything);
                assert_eq!(found(&[package(name, &[used])]).is_empty(), allowed, "{name} uses {used}");
            }
        }
    }

    #[test]
    fn the_foreign_places_are_packages_of_the_table() {
        for place in ONLY_PLACES.iter().flat_map(|(_, places)| *places) {
            assert!(TABLE.iter().any(|(name, _)| name == place), "{place}");
        }
    }

    #[test]
    fn tests_may_use_what_the_product_may_not() {
        let packages =
            [package("schemas", &[]), package("projections", &["test:aggregates", "test:rdkafka"])];
        assert_eq!(found(&packages), [""; 0]);
    }

    #[test]
    fn a_circle_through_a_development_dependency_is_found() {
        let found = found(&[package("testkit", &["schemas"]), package("schemas", &["test:testkit"])]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("testkit → schemas → testkit"), "{found:?}");
    }

    #[test]
    fn a_package_may_switch_on_its_own_features_for_tests() {
        assert_eq!(found(&[package("read-store", &["test:read-store"])]), [""; 0]);
    }

    #[test]
    fn a_new_package_needs_a_row() {
        assert!(found(&[package("surprise", &[])])[0].contains("surprise is not in the dependency table"));
    }

    #[test]
    fn a_violation_points_at_the_manifests_line() {
        assert_eq!(line_of("[dependencies]\naxum-extra = \"1\"\naxum.workspace = true\n", "axum"), 3);
        assert_eq!(line_of("[dependencies]\naxum = \"1\"\n", "axum"), 2);
    }
}
