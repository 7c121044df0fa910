//! A server's jars: fetched once by Maven into the build folder, run by a JVM of version 17 or newer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::instance::{home, lock};
use crate::{process, workspace};

/// Beside the instances' folders, so no instance may have this name.
pub(super) const FOLDER_NAME: &str = "libs";

const FETCH_LIMIT: Duration = Duration::from_secs(600);
const JAVA_VERSION_MIN: u32 = 17;

/// The jars of one server.
#[derive(Debug)]
pub(super) struct Jars {
    /// The server's name.
    pub(super) server: &'static str,
    /// The Maven project that they are the run-time class path of.
    pub(super) pom: &'static str,
    /// How much is fetched, for people.
    pub(super) size: &'static str,
}

impl Jars {
    /// What is missing to run the server, as the part of a sentence; `None` when nothing is.
    pub(super) fn missing(&self) -> Option<String> {
        let java = match java_version() {
            None => Some(format!("java {JAVA_VERSION_MIN} or newer is missing")),
            Some(version) if version < JAVA_VERSION_MIN => {
                Some(format!("java is version {version} but must be {JAVA_VERSION_MIN} or newer"))
            }
            Some(_) => None,
        };
        let maven =
            (!self.fetched(&self.folder()) && !process::on_path("mvn")).then(|| "mvn is missing".to_owned());
        match (java, maven) {
            (Some(java), Some(maven)) => Some(format!("{java}, {maven}")),
            (java, maven) => java.or(maven),
        }
    }

    /// The folder with the jars, fetched if it is not there or belongs to another version.
    pub(super) fn ensure(&self) -> Result<PathBuf> {
        let libs = self.folder();
        let home = self.home();
        let _one_at_a_time = lock(&home)?;
        if self.fetched(&libs) {
            return Ok(libs);
        }
        eprintln!("{}: fetching its jars with Maven (once, {})", self.server, self.size);
        let fresh = home.join("libs.fresh");
        for folder in [&fresh, &libs] {
            if folder.exists() {
                fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
            }
        }
        let pom = home.join("pom.xml");
        fs::write(&pom, self.pom)?;
        let mut maven = Command::new("mvn");
        maven.args(["-B", "-q", "-f"]).arg(&pom);
        maven.args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
        maven.arg(format!("-DoutputDirectory={}", fresh.display()));
        process::run_bounded(&mut maven, FETCH_LIMIT, &home.join("maven.log"))?;
        fs::write(stamp(&fresh), self.pom)?;
        // Renamed last: a folder of this name is complete.
        fs::rename(&fresh, &libs).with_context(|| format!("cannot make {}", libs.display()))?;
        Ok(libs)
    }

    fn home(&self) -> PathBuf {
        home(&workspace::target_dir(), self.server)
    }

    fn folder(&self) -> PathBuf {
        self.home().join(FOLDER_NAME)
    }

    fn fetched(&self, libs: &Path) -> bool {
        fs::read_to_string(stamp(libs)).is_ok_and(|pom| pom == self.pom)
    }
}

/// The description the jars were fetched by.
fn stamp(libs: &Path) -> PathBuf {
    libs.join("pom.xml")
}

/// What `java -cp` finds them by.
pub(super) fn class_path(libs: &Path) -> String {
    format!("{}/*", libs.display())
}

fn java_version() -> Option<u32> {
    let output = Command::new("java").arg("-version").stdin(Stdio::null()).output().ok()?;
    // Java prints its version on standard error.
    major_version(&String::from_utf8_lossy(&output.stderr))
}

/// `openjdk version "17.0.15" 2025-04-15` → 17; `java version "1.8.0_292"` → 8.
fn major_version(text: &str) -> Option<u32> {
    let version = text.lines().find(|line| line.contains(" version \""))?.split('"').nth(1)?;
    let mut numbers = version.split(['.', '-', '_', '+']).map(str::parse::<u32>);
    match numbers.next()?.ok()? {
        1 => numbers.next()?.ok(),
        major => Some(major),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_way_java_writes_its_version() {
        assert_eq!(major_version("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK …"), Some(17));
        assert_eq!(major_version("Picked up _JAVA_OPTIONS: -X\nopenjdk version \"25\" 2025-09-16"), Some(25));
        assert_eq!(major_version("openjdk version \"21-ea\""), Some(21));
        assert_eq!(major_version("java version \"1.8.0_292\""), Some(8));
        assert_eq!(major_version("command not found"), None);
    }

    #[test]
    fn jars_of_another_version_are_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let jars = Jars { server: "kafka", pom: "<version>2</version>", size: "1 MB" };
        assert!(!jars.fetched(dir.path()));
        fs::write(stamp(dir.path()), "<version>1</version>").unwrap();
        assert!(!jars.fetched(dir.path()));
        fs::write(stamp(dir.path()), jars.pom).unwrap();
        assert!(jars.fetched(dir.path()));
    }
}
