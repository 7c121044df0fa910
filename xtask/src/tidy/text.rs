//! How files look: a module's opening sentence, length, tabs and trailing blanks.

use super::Violation;
use super::source::Source;

const LINES_MAX: usize = 800;
const LINES_WARN: usize = 500;

pub(super) fn check(sources: &[Source]) -> Vec<Violation> {
    sources.iter().flat_map(check_one).collect()
}

/// Files that are getting long.
pub(super) fn warnings(sources: &[Source]) -> Vec<Violation> {
    let long =
        sources.iter().filter(|source| source.is_rust()).map(|source| (source, source.text.lines().count()));
    long.filter(|(_, lines)| (LINES_WARN + 1..=LINES_MAX).contains(lines))
        .map(|(source, lines)| {
            let what = format!(
                "{lines} lines; about 400 is what reads well, {LINES_MAX} is the limit: split by concept"
            );
            Violation::new(&source.path, lines, what)
        })
        .collect()
}

fn check_one(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut report = |line: usize, what: String| violations.push(Violation::new(&source.path, line, what));
    if source.is_rust() {
        if !source.text.starts_with("//!") {
            report(1, "the file has no opening sentence; start it with `//! ` and what it is".to_owned());
        }
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            report(lines, format!("{lines} lines, {LINES_MAX} at most; split it by concept"));
        }
    }
    for (index, line) in source.text.split('\n').enumerate() {
        if line.ends_with([' ', '\t', '\r']) {
            report(index + 1, "blanks or a carriage return at the end of the line; remove them".to_owned());
        }
        if line.contains('\t') {
            report(index + 1, "a tab; indent with blanks, write \\t in literals".to_owned());
        }
    }
    if !source.text.is_empty() && !source.text.ends_with('\n') {
        report(source.text.lines().count(), "no line break at the end of the file; add one".to_owned());
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: impl Into<String>) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&[source(path, text)]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_clean_file_has_no_violation() {
        assert_eq!(found("a.rs", "//! What it is.\n\nfn f() {}\n"), [""; 0]);
    }

    #[test]
    fn every_rust_file_opens_with_a_sentence() {
        assert!(found("a.rs", "fn f() {}\n")[0].starts_with("a.rs:1: the file has no opening sentence"));
        assert_eq!(found("a.toml", "[package]\n"), [""; 0]);
    }

    #[test]
    fn blanks_tabs_and_missing_line_breaks_are_found() {
        assert!(found("a.toml", "x = 1\ny = 2 \n")[0].starts_with("a.toml:2: blanks"));
        assert!(found("a.toml", "x = 1\r\n")[0].starts_with("a.toml:1: blanks or a carriage return"));
        assert!(found("a.toml", "\tx = 1\n")[0].starts_with("a.toml:1: a tab"));
        assert!(found("a.toml", "x = 1")[0].starts_with("a.toml:1: no line break"));
    }

    #[test]
    fn long_files_warn_first_and_fail_then() {
        let lines = |count: usize| format!("//! x\n{}", "\n".repeat(count - 1));
        for (count, warned, failed) in [(500, 0, 0), (501, 1, 0), (800, 1, 0), (801, 0, 1)] {
            let sources = [source("a.rs", lines(count))];
            assert_eq!((warnings(&sources).len(), check(&sources).len()), (warned, failed), "{count} lines");
        }
    }
}
