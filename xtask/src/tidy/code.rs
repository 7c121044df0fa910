//! Words that may stand in the shipped code of some packages only, and marks of unfinished work that stand nowhere.
//!
//! Comments, literals and test code don't count (for unfinished marks test code does: an ignored test tests nothing).

use std::path::Path;

use super::Violation;
use super::dependencies::Package;
use super::source::{Source, code_only, has_word, shipped_lines};

/// Words, the packages whose shipped code may hold them, and the way out for the others.
struct Rule {
    words: &'static [&'static str],
    allowed: Allowed,
    way_out: &'static str,
}

enum Allowed {
    In(&'static [&'static str]),
    /// Everywhere but in these packages.
    NotIn(&'static [&'static str]),
}

const RULES: [Rule; 4] = [
    Rule {
        words: &["tokio::spawn", "task::spawn", "spawn_local", "JoinSet"],
        allowed: Allowed::In(&["service-kit", "testkit", "system-tests", "benches"]),
        way_out: "start it through service_kit::Tasks, which gives it a name, an error path and an end",
    },
    Rule {
        // Plain threads: event-log polls librdkafka (its calls block), aggregate-host runs a thread per shard, and
        // service-kit may need one to end a process whose runtime hangs.
        words: &["thread::spawn", "thread::Builder", "thread::scope"],
        allowed: Allowed::In(&[
            "service-kit",
            "event-log",
            "aggregate-host",
            "testkit",
            "system-tests",
            "benches",
            "xtask",
        ]),
        way_out: "use a task of service_kit::Tasks; plain threads are for librdkafka and the shards",
    },
    Rule {
        words: &[
            "std::fs",
            "std::net",
            "std::thread",
            "SystemTime::now",
            "Instant::now",
            "Timestamp::now",
            "Zoned::now",
            "new_v4",
            "now_v7",
            "rand",
        ],
        allowed: Allowed::NotIn(&["aggregates"]),
        way_out: "aggregates do no IO and know no clock or chance; let it come in with the command",
    },
    Rule {
        words: &["f32", "f64"],
        allowed: Allowed::NotIn(&["schemas", "aggregates"]),
        way_out: "no floats here: money is integer minor units, a rate is an integer in a named unit",
    },
];

const UNFINISHED: [&str; 3] = ["todo!(", "unimplemented!(", "#[ignore"];

pub(super) fn check(sources: &[Source], packages: &[Package]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let code = code_only(&source.text);
        violations.extend(unfinished(&source.path, &code));
        let tests_only = source.is_test_file() || is_declared_for_tests(&source.path, sources);
        let package = packages.iter().filter(|package| source.path.starts_with(&package.folder));
        let package = package.max_by_key(|package| package.folder.components().count());
        if let (Some(package), false) = (package, tests_only) {
            violations.extend(misplaced(&source.path, &package.name, &code));
        }
    }
    violations
}

fn unfinished(path: &Path, code: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (index, line) in code.lines().enumerate() {
        for mark in UNFINISHED.iter().filter(|mark| line.contains(**mark)) {
            let what = format!("`{mark}` marks unfinished work; finish it, or leave the item out");
            violations.push(Violation::new(path, index + 1, what));
        }
    }
    violations
}

fn misplaced(path: &Path, package: &str, code: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    let rules = RULES.iter().filter(|rule| match rule.allowed {
        Allowed::In(packages) => !packages.contains(&package),
        Allowed::NotIn(packages) => packages.contains(&package),
    });
    for rule in rules {
        for (number, line) in shipped_lines(code) {
            if let Some(word) = rule.words.iter().find(|word| has_word(line, word)) {
                violations.push(Violation::new(
                    path,
                    number,
                    format!("`{word}` in {package}; {}", rule.way_out),
                ));
            }
        }
    }
    violations
}

/// Whether the file is a module that its parent declares under `#[cfg(test)]`.
fn is_declared_for_tests(path: &Path, sources: &[Source]) -> bool {
    let (Some(name), Some(folder)) = (path.file_stem().and_then(|name| name.to_str()), path.parent()) else {
        return false;
    };
    let parents = [folder.with_extension("rs"), folder.join("lib.rs"), folder.join("main.rs")];
    let declaration = format!("#[cfg(test)]\nmod {name};");
    sources.iter().any(|source| parents.contains(&source.path) && source.text.contains(&declaration))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let source = |path: &str, text: &str| Source { path: path.into(), text: text.to_owned() };
        let sources = [
            source(path, text),
            source("aggregates/src/lib.rs", "//! x\n#[cfg(test)]\nmod given;\nmod order;\n"),
        ];
        let packages =
            ["projections", "aggregates", "crates/event-log", "crates/service-kit", "tests"].map(|folder| {
                let name =
                    if folder == "tests" { "system-tests" } else { folder.trim_start_matches("crates/") };
                Package { name: name.to_owned(), folder: PathBuf::from(folder), dependencies: Vec::new() }
            });
        check(&sources, &packages).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn tasks_start_in_service_kit_only() {
        let text = "//! x\nfn f() {\n    tokio::spawn(run());\n}\n";
        let violations = found("projections/src/lib.rs", text);
        assert_eq!(violations.len(), 1, "{violations:?}");
        assert!(
            violations[0]
                .starts_with("projections/src/lib.rs:3: `tokio::spawn` in projections; start it through")
        );
        assert_eq!(found("crates/service-kit/src/tasks.rs", text), [""; 0]);
        assert_eq!(found("tests/src/lib.rs", text), [""; 0]);
    }

    #[test]
    fn plain_threads_are_for_librdkafka_and_shards() {
        let text = "//! x\nfn f() {\n    std::thread::spawn(run);\n}\n";
        assert_eq!(found("projections/src/lib.rs", text).len(), 1);
        assert_eq!(found("crates/event-log/src/kafka.rs", text), [""; 0]);
    }

    #[test]
    fn aggregates_know_no_clock_no_chance_and_no_floats() {
        for line in ["jiff::Timestamp::now();", "Uuid::new_v4();", "let x: f64 = y;", "std::fs::read(p);"] {
            let text = format!("//! x\nfn f() {{\n    {line}\n}}\n");
            assert_eq!(found("aggregates/src/order.rs", &text).len(), 1, "{line}");
        }
    }

    #[test]
    fn test_code_is_free() {
        let text = "//! x\n#[cfg(test)]\nmod tests {\n    fn f() {\n        tokio::spawn(run());\n    }\n}\n";
        assert_eq!(found("projections/src/lib.rs", text), [""; 0]);
        let body = "//! x\nfn f() {\n    tokio::spawn(run());\n}\n";
        assert_eq!(found("projections/tests/it.rs", body), [""; 0]);
        assert_eq!(found("aggregates/src/given.rs", body), [""; 0], "a module declared for tests");
        assert_eq!(found("aggregates/src/order.rs", body).len(), 1, "a module declared for all");
    }

    #[test]
    fn unfinished_work_is_found_in_tests_too() {
        for line in ["todo!()", "unimplemented!(\"later\")", "#[ignore = \"slow\"]"] {
            let text = format!("//! x\n#[cfg(test)]\nmod tests {{\n    {line}\n}}\n");
            assert_eq!(found("projections/src/lib.rs", &text).len(), 1, "{line}");
        }
        assert_eq!(found("projections/src/lib.rs", "//! x\n// todo!()\nlet x = \"#[ignore\";\n"), [""; 0]);
    }
}
