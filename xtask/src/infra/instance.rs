//! Where the instances of a server live: `target/infra/SERVER/NAME`, one folder each.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::jars;

/// The folder of all instances of a server.
pub(super) fn home(target_dir: &Path, server: &str) -> PathBuf {
    target_dir.join("infra").join(server)
}

/// The folder of the named instance; names are letters, digits, `-` and `_`, and `libs` is taken by the jars.
pub(super) fn folder(target_dir: &Path, server: &str, name: &str) -> Result<PathBuf> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || character == '-' || character == '_';
    if name.is_empty() || !name.chars().all(allowed) || name == jars::FOLDER_NAME {
        bail!("'{name}' cannot name an instance: letters, digits, - and _, and not '{}'", jars::FOLDER_NAME);
    }
    Ok(home(target_dir, server).join(name))
}

/// The folders in a folder, in order of name; none where there is no such folder.
pub(super) fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut folders: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// Makes the folder and locks it: two callers at once must not both start a server. The lock's descriptor is close-on-exec,
/// the server never has it.
pub(super) fn lock(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside_the_build_folder() {
        let target = Path::new("/build");
        assert_eq!(folder(target, "kafka", "ci").unwrap(), Path::new("/build/infra/kafka/ci"));
        for name in ["", "..", "a/b", "libs"] {
            assert!(folder(target, "kafka", name).is_err(), "{name}");
        }
    }
}
