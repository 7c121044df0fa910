//! How the program tells that something did not work: `error: …`, `hint: …`, and an exit code.

use std::fmt;
use std::process::ExitCode;

/// It did not work.
pub(crate) const FAILED: u8 = 1;
/// It could not even be tried: wrong usage, wrong configuration, something missing.
pub(crate) const COULD_NOT: u8 = 2;

/// A message for the operator with what can be done about it.
#[derive(Debug)]
pub(crate) struct Hinted {
    message: String,
    hint: String,
    source: Option<anyhow::Error>,
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Hinted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

/// An error with a hint.
pub(crate) fn hinted(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    Hinted { message: message.into(), hint: hint.into(), source: None }.into()
}

/// An error with a hint and its cause.
pub(crate) fn hinted_because(
    message: impl Into<String>,
    hint: impl Into<String>,
    source: impl Into<anyhow::Error>,
) -> anyhow::Error {
    Hinted { message: message.into(), hint: hint.into(), source: Some(source.into()) }.into()
}

/// Marks an error as a failure of what was running, in contrast to something that could not be started.
#[derive(Debug)]
pub(crate) struct RanAndFailed(pub(crate) anyhow::Error);

impl fmt::Display for RanAndFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for RanAndFailed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// The lines for stderr and the exit code.
pub(crate) fn explain(error: &anyhow::Error) -> (String, u8) {
    let mut text = format!("error: {}", chain(error));
    if let Some(hint) = hint(error) {
        text.push_str(&format!("\nhint: {hint}"));
    }
    let code = if error.downcast_ref::<RanAndFailed>().is_some() { FAILED } else { COULD_NOT };
    (text, code)
}

/// Prints an error on stderr.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let (text, code) = explain(error);
    eprintln!("{text}");
    ExitCode::from(code)
}

/// `outer: middle: inner`; a link whose text ends with the next one's is not said twice.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for link in error.chain() {
        let link = link.to_string();
        if text.is_empty() {
            text = link;
        } else if !text.ends_with(&link) {
            text.push_str(": ");
            text.push_str(&link);
        }
    }
    text
}

fn hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|link| {
        if let Some(hinted) = link.downcast_ref::<Hinted>() {
            Some(hinted.hint.clone())
        } else if let Some(error) = link.downcast_ref::<service_kit::Error>() {
            error.hint().map(str::to_owned)
        } else if let Some(error) = link.downcast_ref::<event_log::Error>() {
            log_hint(error)
        } else if let Some(read_store::Error::FolderLocked { .. }) = link.downcast_ref() {
            Some(
                "another `millrace` process has this data folder: stop it, or choose another one with --data-dir"
                    .to_owned(),
            )
        } else if let Some(read_store::Error::Unavailable { .. }) = link.downcast_ref() {
            Some("is a CQL server listening at the address of --cql?".to_owned())
        } else if let Some(marked) = link.downcast_ref::<RanAndFailed>() {
            hint(&marked.0)
        } else {
            None
        }
    })
}

fn log_hint(error: &event_log::Error) -> Option<String> {
    use event_log::Error;
    Some(match error {
        Error::FolderLocked { .. } => {
            "a running `millrace up` has this folder: ask it through --url, stop it, or \
             choose another folder with --data-dir"
                .to_owned()
        }
        Error::Mismatch { setting: "partitions", found, .. } => format!(
            "the number of partitions is fixed when a log is made: leave --partitions out or say --partitions {found}"
        ),
        Error::Mismatch { setting: "namespace", found, .. } => {
            format!("say --namespace {found}, or choose another --data-dir")
        }
        Error::TopicMismatch { setting, found, .. } if setting == "partitions" => {
            format!("say --partitions {found}, or choose another --namespace")
        }
        Error::TopicMismatch { topic, setting, expected, .. } => format!(
            "kafka-configs.sh --bootstrap-server … --alter --topic {topic} --add-config {setting}={expected} sets it; or \
             choose another --namespace"
        ),
        Error::Mismatch { setting: "format version", .. } => {
            "another version of millrace made this log: use that one, or choose another --data-dir".to_owned()
        }
        Error::ReadOnly { .. } => {
            "the folder must be writable for this user, for readers too: a log is locked, and a batch that a crash left \
             unfinished is cut off, when it is opened; copy the folder to a disk that can be written to"
                .to_owned()
        }
        Error::DiskFull { .. } => {
            "make room on the disk, or lower embedded.disk_reserve_bytes; nothing is lost".to_owned()
        }
        Error::Damaged { .. } => {
            "nothing was changed: restore the folder from a backup. Without one, `truncate --size=BYTE JOURNAL` gives up \
             everything from that byte on, acknowledged or not; `millrace verify --data-dir …` then tells what is left"
                .to_owned()
        }
        Error::Poisoned => {
            "look for errors of the disk (dmesg); what was acknowledged is in the log, and the next start reads it"
                .to_owned()
        }
        Error::TopicMissing { .. } => "run `millrace topics init --kafka …` once".to_owned(),
        Error::Timeout { .. } | Error::Backend { .. } => {
            "with --kafka: is a broker listening at that address? otherwise: is the disk full or read-only?"
                .to_owned()
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn an_error_is_told_with_its_causes_once_and_a_hint() {
        let error =
            hinted_because("nobody answers at http://x", "start `millrace up`", anyhow::anyhow!("refused"));
        let (text, code) = explain(&error.context("cannot ask for the status"));
        assert_eq!(
            text,
            "error: cannot ask for the status: nobody answers at http://x: refused\nhint: start `millrace up`"
        );
        assert_eq!(code, COULD_NOT);
    }

    #[test]
    fn a_locked_folder_says_what_to_do() {
        let locked = event_log::Error::FolderLocked { path: "data/log".into() };
        let error = Err::<(), _>(locked).context("cannot open the log").unwrap_err();
        let (text, code) = explain(&error);
        assert!(text.contains("data/log is in use by another process"), "{text}");
        assert!(text.contains("hint: a running `millrace up` has this folder"), "{text}");
        assert_eq!(code, COULD_NOT);
    }

    #[test]
    fn what_ran_and_failed_exits_with_one() {
        let error = anyhow::Error::new(RanAndFailed(anyhow::anyhow!("task shard-0 failed")));
        assert_eq!(explain(&error), ("error: task shard-0 failed".to_owned(), FAILED));
    }
}
