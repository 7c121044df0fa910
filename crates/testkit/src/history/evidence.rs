//! What a failed check leaves behind, so that it can be looked at and checked again.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use super::attempt::{read_lines, write_lines};
use super::{History, LoggedRecord, Report, Scope, check};

/// Where failed histories are kept; none: in the system's temporary folder.
const FOLDER_VARIABLE: &str = "MILLRACE_EVIDENCE_DIR";
const HISTORY_FILE: &str = "history.jsonl";
const LOG_FILE: &str = "log.jsonl";
const REPORT_FILE: &str = "report.txt";

/// A history and the log that it is held against: all that [`check`] needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// What clients asked and were told.
    pub history: History,
    /// What the log says.
    pub log: Vec<LoggedRecord>,
}

impl Evidence {
    /// Checks it; when it is not clean, keeps it in a folder and panics with the report and the folder.
    pub fn must_be_clean(&self, name: &str, scope: &Scope) -> Report {
        let report = check(&self.history, &self.log, scope);
        if !report.is_clean() {
            let kept = self.keep(name, &report);
            let kept =
                kept.map_or_else(|error| format!("not kept: {error}"), |folder| folder.display().to_string());
            panic!("the history {name} is not clean (evidence: {kept}):\n{report}");
        }
        report
    }

    /// Writes it, and `report`, into a new folder; returns the folder.
    pub fn keep(&self, name: &str, report: &Report) -> io::Result<PathBuf> {
        let parent = std::env::var_os(FOLDER_VARIABLE).map_or_else(std::env::temp_dir, PathBuf::from);
        let folder = parent.join(format!("history-{name}-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir_all(&folder)?;
        self.history.write(File::create(folder.join(HISTORY_FILE))?)?;
        write_lines(&self.log, File::create(folder.join(LOG_FILE))?)?;
        std::fs::write(folder.join(REPORT_FILE), format!("{report}\n"))?;
        Ok(folder)
    }

    /// Reads what [`Evidence::keep`] wrote.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let open = |name: &str| File::open(folder.join(name)).map(BufReader::new);
        Ok(Self { history: History::read(open(HISTORY_FILE)?)?, log: read_lines(open(LOG_FILE)?)? })
    }
}
