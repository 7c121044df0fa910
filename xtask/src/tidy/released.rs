//! Released schemas never change: each `.avsc` under `schemas/avro` has its SHA-256 in `schemas/avro/RELEASED`.
//!
//! The list is what `sha256sum` writes and checks (`cd schemas/avro && sha256sum --check RELEASED`). It only grows.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::Violation;

const FOLDER: &str = "schemas/avro";
const LIST: &str = "schemas/avro/RELEASED";

pub(super) fn check(root: &Path) -> Result<Vec<Violation>> {
    let (schemas, list) = (read_schemas(root)?, read_list(root)?);
    let mut violations = Vec::new();
    let mut listed = BTreeMap::new();
    for (index, line) in list.lines().enumerate() {
        let number = index + 1;
        let Some((hash, file)) = line.split_once("  ") else {
            violations.push(Violation::new(
                LIST,
                number,
                "not `<sha256>  <file>`; restore the line from history",
            ));
            continue;
        };
        if listed.insert(file, hash).is_some() {
            violations.push(Violation::new(
                LIST,
                number,
                format!("{file} is listed twice; restore the list from history"),
            ));
        }
        match schemas.get(file) {
            None => {
                let what =
                    format!("released {file} is gone; restore it: old events are read with it for ever");
                violations.push(Violation::new(LIST, number, what));
            }
            Some(now) if now != hash => {
                let what = "a released schema has changed; restore it and write the next version (…v2.avsc) beside it";
                violations.push(Violation::new(Path::new(FOLDER).join(file), 1, what));
            }
            Some(_) => {}
        }
    }
    for file in schemas.keys().filter(|file| !listed.contains_key(file.as_str())) {
        let what = "not in schemas/avro/RELEASED; run `cargo xtask tidy --release-schemas` when it is final";
        violations.push(Violation::new(Path::new(FOLDER).join(file), 1, what));
    }
    Ok(violations)
}

/// Appends the schemas that are not listed yet; returns their names. Fails, changing nothing, when a listed one differs.
pub(super) fn release(root: &Path) -> Result<Vec<String>> {
    let (schemas, mut list) = (read_schemas(root)?, read_list(root)?);
    let listed: BTreeMap<&str, &str> =
        list.lines().filter_map(|line| line.split_once("  ")).map(|(hash, file)| (file, hash)).collect();
    for (file, hash) in &listed {
        if schemas.get(*file).map(String::as_str) != Some(hash) {
            bail!(
                "{FOLDER}/{file} is released and has changed or is gone: restore it first; nothing was released"
            );
        }
    }
    let fresh: Vec<String> =
        schemas.keys().filter(|file| !listed.contains_key(file.as_str())).cloned().collect();
    for file in &fresh {
        list.push_str(&format!("{}  {file}\n", schemas[file]));
    }
    if !fresh.is_empty() {
        fs::write(root.join(LIST), list).with_context(|| format!("cannot write {LIST}"))?;
    }
    Ok(fresh)
}

/// File name, relative to the folder, to the hash of its content.
fn read_schemas(root: &Path) -> Result<BTreeMap<String, String>> {
    let folder = root.join(FOLDER);
    let mut schemas = BTreeMap::new();
    let mut folders: Vec<PathBuf> = folder.exists().then(|| folder.clone()).into_iter().collect();
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("cannot read {}", next.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "avsc") {
                let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                let name = path.strip_prefix(&folder).unwrap_or(&path).display().to_string();
                schemas.insert(name, format!("{:x}", Sha256::digest(&bytes)));
            }
        }
    }
    Ok(schemas)
}

fn read_list(root: &Path) -> Result<String> {
    match fs::read_to_string(root.join(LIST)) {
        Ok(list) => Ok(list),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {LIST}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(FOLDER)).unwrap();
        put(&dir, "a.v1.avsc", "\"null\"");
        dir
    }

    fn put(dir: &tempfile::TempDir, file: &str, text: &str) {
        fs::write(dir.path().join(FOLDER).join(file), text).unwrap();
    }

    fn found(dir: &tempfile::TempDir) -> Vec<String> {
        check(dir.path()).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_new_schema_must_be_released_and_then_is_clean() {
        let dir = tree();
        assert!(found(&dir)[0].contains("cargo xtask tidy --release-schemas"));
        assert_eq!(release(dir.path()).unwrap(), ["a.v1.avsc"]);
        assert_eq!(found(&dir), [""; 0]);
        assert_eq!(release(dir.path()).unwrap(), [""; 0], "a second time changes nothing");
    }

    #[test]
    fn the_list_grows_at_its_end_only() {
        let dir = tree();
        put(&dir, "b.v1.avsc", "\"int\"");
        release(dir.path()).unwrap();
        let before = fs::read_to_string(dir.path().join(LIST)).unwrap();
        put(&dir, "a.v0.avsc", "\"long\"");
        release(dir.path()).unwrap();
        let after = fs::read_to_string(dir.path().join(LIST)).unwrap();
        assert!(after.starts_with(&before) && after.lines().count() == 3, "{after}");
        // The hash is the one that sha256sum prints for these four letters and their quotes.
        let hash = "f072cbec3bf8841871d4284230c5e983dc211a56837aed862487148f947d1a1f";
        assert!(before.contains(&format!("{hash}  a.v1.avsc")), "{before}");
    }

    #[test]
    fn a_changed_or_lost_released_schema_is_found_and_not_released_again() {
        let dir = tree();
        release(dir.path()).unwrap();
        put(&dir, "a.v1.avsc", "\"int\"");
        assert!(found(&dir)[0].starts_with("schemas/avro/a.v1.avsc:1: a released schema has changed"));
        let before = fs::read_to_string(dir.path().join(LIST)).unwrap();
        put(&dir, "b.v1.avsc", "\"int\"");
        assert!(release(dir.path()).is_err());
        assert_eq!(fs::read_to_string(dir.path().join(LIST)).unwrap(), before);
        fs::remove_file(dir.path().join(FOLDER).join("a.v1.avsc")).unwrap();
        assert!(found(&dir).iter().any(|what| what.contains("released a.v1.avsc is gone")));
    }

    #[test]
    fn a_list_edited_by_hand_is_found() {
        let dir = tree();
        release(dir.path()).unwrap();
        let list = fs::read_to_string(dir.path().join(LIST)).unwrap();
        fs::write(dir.path().join(LIST), format!("{list}{list}what is this\n")).unwrap();
        let found = found(&dir);
        assert!(found[0].contains("listed twice") && found[1].contains("not `<sha256>"), "{found:?}");
    }
}
