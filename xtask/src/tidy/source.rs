//! The files of the tree, and Rust source with comments, literals and test code told apart from what ships.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const EXTENSIONS: [&str; 9] = ["rs", "toml", "avsc", "yml", "yaml", "py", "sh", "properties", "xml"];
const SKIPPED_FOLDERS: [&str; 4] = ["target", "node_modules", "millrace-data", "__pycache__"];

/// A text file of ours.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Relative to the root.
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Source {
    pub(super) fn is_rust(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "rs")
    }

    /// Whether the whole file is test code: under a `tests` folder of a package, or a `tests.rs`.
    pub(super) fn is_test_file(&self) -> bool {
        // The package `system-tests` has its folder at the root under this very name; only what is below it counts.
        let inside = self.path.iter().skip(1);
        inside.clone().any(|part| part == "tests") || inside.last().is_some_and(|name| name == "tests.rs")
    }
}

/// Every text file under `root` that a person wrote, in order of path.
pub(super) fn read_tree(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    read_folder(root, root, &mut sources)?;
    sources.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(sources)
}

fn read_folder(root: &Path, folder: &Path, sources: &mut Vec<Source>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if kind.is_dir() {
            if name != ".git" && !SKIPPED_FOLDERS.contains(&name.as_ref()) {
                read_folder(root, &path, sources)?;
            }
            continue;
        }
        let wanted = path
            .extension()
            .and_then(|extension| extension.to_str())
            .is_some_and(|it| EXTENSIONS.contains(&it));
        if kind.is_file() && wanted {
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let path = path.strip_prefix(root).unwrap_or(&path).to_path_buf();
            sources.push(Source { path, text });
        }
    }
    Ok(())
}

/// The same text, line for line, with comments and the insides of string and character literals blanked out.
pub(super) fn code_only(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let rest = &characters[at..];
        let length = literal_or_comment(rest, at.checked_sub(1).map(|before| characters[before]));
        let end = at + length.max(1);
        for &character in &characters[at..end] {
            code.push(if length == 0 || character == '\n' { character } else { ' ' });
        }
        at = end;
    }
    code
}

/// How many characters the comment or literal at the start takes; 0 when there is none.
fn literal_or_comment(rest: &[char], before: Option<char>) -> usize {
    let until = |wanted: &dyn Fn(usize) -> bool| (0..rest.len()).find(|at| wanted(*at)).unwrap_or(rest.len());
    match rest {
        ['/', '/', ..] => until(&|at| rest[at] == '\n'),
        ['/', '*', ..] => block_comment(rest),
        ['"', ..] => string(rest),
        ['r', '"' | '#', ..] if !before.is_some_and(is_word) || before == Some('b') => raw_string(rest),
        ['\'', '\\', ..] => until(&|at| at > 2 && rest[at] == '\'') + 1,
        // A lifetime has no closing quote after one character.
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
    .min(rest.len())
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

fn raw_string(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|character| **character == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0; // a raw identifier
    }
    let mut at = 2 + hashes;
    while at < rest.len() {
        if rest[at] == '"'
            && rest[at + 1..].iter().take(hashes).filter(|each| **each == '#').count() == hashes
        {
            return at + 1 + hashes;
        }
        at += 1;
    }
    at
}

/// The lines that ship, with their numbers: everything but the bodies of `#[cfg(test)]` items.
///
/// It relies on rustfmt, which `ci` checks first: an item ends at the brace that is indented as its attribute is.
pub(super) fn shipped_lines(code: &str) -> Vec<(usize, &str)> {
    let mut shipped = Vec::new();
    let mut test_indent: Option<usize> = None;
    let mut body_seen = false;
    for (number, line) in code.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        let indent = line.len() - line.trim_start().len();
        match test_indent {
            None if line.trim_start().starts_with("#[cfg(test)]") => {
                (test_indent, body_seen) = (Some(indent), false)
            }
            None => shipped.push((number, line)),
            Some(_) if line.trim().is_empty() => {}
            Some(outer) if indent == outer => {
                let ends = line.trim_end().ends_with([';', '}'])
                    || (body_seen && line.trim_start().starts_with('}'));
                if ends {
                    test_indent = None;
                }
            }
            Some(_) => body_seen = true,
        }
    }
    shipped
}

/// Whether `word` is in the line with nothing that would make it part of a longer word.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let open =
            |edge: Option<char>, own: Option<char>| !(edge.is_some_and(is_word) && own.is_some_and(is_word));
        open(before, word.chars().next()) && open(after, word.chars().next_back())
    })
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_not_code() {
        let blanked = [
            "// word",
            "/* a /* word */ word */",
            "\"word \\\" word\"",
            "r#\"word \" word\"#",
            "br\"word\"",
            "//! word",
        ];
        for text in blanked {
            assert!(!code_only(text).contains("word"), "{text} → {}", code_only(text));
        }
        assert_eq!(code_only("a(\"x\"); word('\"'); word"), "a(   ); word(   ); word");
        assert_eq!(code_only("fn f<'a>(x: &'a str) { word }"), "fn f<'a>(x: &'a str) { word }");
        assert_eq!(code_only("let c = '\\''; word"), "let c =     ; word");
        assert_eq!(code_only("r#type word"), "r#type word");
        assert_eq!(code_only("\"a\nb\"\nword").lines().count(), 3);
    }

    #[test]
    fn test_modules_do_not_ship_but_what_follows_them_does() {
        let code = "one\n#[cfg(test)]\nmod tests {\n    two\n    fn f() {\n    }\n}\nthree\n#[cfg(test)]\nmod more;\nfour\n";
        let lines: Vec<&str> = shipped_lines(code).into_iter().map(|(_, line)| line).collect();
        assert_eq!(lines, ["one", "three", "four"]);
        let nested = "mod a {\n    #[cfg(test)]\n    fn helper(\n        x: u8,\n    ) {\n        two\n    }\n    three\n}\n";
        let lines: Vec<usize> = shipped_lines(nested).into_iter().map(|(number, _)| number).collect();
        assert_eq!(lines, [1, 8, 9]);
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("x as f64;", "f64"));
        assert!(!has_word("visit_f64(1)", "f64"));
        assert!(has_word("tokio::spawn(async", "tokio::spawn"));
        assert!(!has_word("tokio::spawner", "tokio::spawn"));
    }

    #[test]
    fn test_files_are_known_by_their_place() {
        let file = |path: &str| Source { path: path.into(), text: String::new() }.is_test_file();
        assert!(file("crates/event-log/tests/it/contract.rs"));
        assert!(file("crates/event-log/src/embedded/tests.rs"));
        assert!(!file("crates/event-log/src/contract.rs"));
        assert!(!file("tests/src/lib.rs"));
        assert!(file("tests/tests/it.rs"));
    }
}
