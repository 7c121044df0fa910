//! Fail points: named places between two steps where a test lets the process fail, stop, or end.
//!
//! They are compiled into every build (what is tested is what ships) and armed only by tests, or by the variable
//! [`FAIL_POINTS_VARIABLE`] in a process that a test started; nothing else arms them, the `FAILPOINTS` variable of the
//! crate `fail` included. A point that nobody armed costs the read of one atomic number, about a nanosecond.
//!
//! What is armed is text, as of the crate `fail`: `name=action`, joined by `;`. An action is `off`, `panic`, `sleep(ms)`,
//! `pause` (until it is disarmed), `print`, `yield`, or `return(word)`, after an optional probability (`20%`) and count
//! (`3*`); actions follow each other with `->`. The words are those of [`Fault`], and `abort`, which ends the process at
//! that very place as `kill -9` would. `name@scope` arms the point for one log or folder of the process only.
//!
//! ```
//! use service_kit::{FailPoint, Fault, arm_fail_points};
//!
//! let armed = arm_fail_points("embedded.before_write@/data/log=1*return(unknown)")?;
//! assert_eq!(FailPoint::EMBEDDED_BEFORE_WRITE.pass(&"/other/log"), None);
//! assert_eq!(FailPoint::EMBEDDED_BEFORE_WRITE.pass(&"/data/log"), Some(Fault::Unknown));
//! assert_eq!(FailPoint::EMBEDDED_BEFORE_WRITE.pass(&"/data/log"), None, "once");
//! drop(armed);
//! # Ok::<(), service_kit::Error>(())
//! ```

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Error;

/// The variable that arms fail points in a whole process, for tests.
pub const FAIL_POINTS_VARIABLE: &str = "MILLRACE_FAIL_POINTS";

/// How many sets of fail points are armed. Zero keeps the registry of `fail`, and its lock, out of everybody's way.
static ARMED: AtomicUsize = AtomicUsize::new(0);

/// A place where a test can let the process fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FailPoint(&'static str);

/// Declares the points and the list of all.
macro_rules! fail_points {
    ($($(#[doc = $doc:literal])+ $constant:ident = $name:literal,)+) => {
        impl FailPoint {
            $($(#[doc = $doc])+ pub const $constant: Self = Self($name);)+

            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$constant),+];
        }
    };
}

fail_points! {
    /// Embedded log, scope: the log's folder. A group of batches is encoded; nothing was handed to the database.
    EMBEDDED_BEFORE_WRITE = "embedded.before_write",
    /// Embedded log. The group is written and synced; readers don't see it yet, nobody was answered.
    EMBEDDED_AFTER_WRITE = "embedded.after_write",
    /// Embedded log. Readers see the group; nobody was answered.
    EMBEDDED_BEFORE_ANSWER = "embedded.before_answer",
    /// Embedded log. A writer is opened; its new term is not noted yet.
    EMBEDDED_BEFORE_TERM = "embedded.before_term",
    /// Embedded log. The new term is durable; whoever opened the writer was not answered.
    EMBEDDED_AFTER_TERM = "embedded.after_term",
    /// Embedded log. A write has failed and the database was closed; it is about to be opened again.
    EMBEDDED_BEFORE_REOPEN = "embedded.before_reopen",
    /// Kafka log, scope: the namespace. The transaction was not begun.
    KAFKA_BEFORE_BEGIN = "kafka.before_begin",
    /// Kafka log. Records and consumed offsets are sent; the commit was not.
    KAFKA_BEFORE_COMMIT = "kafka.before_commit",
    /// Kafka log. The commit is acknowledged; nobody was answered.
    KAFKA_AFTER_COMMIT = "kafka.after_commit",
    /// Kafka log. A writer is opened: earlier ones are fenced, the new term is not noted yet.
    KAFKA_BEFORE_TERM = "kafka.before_term",
    /// Shards, scope: the namespace. A turn is decided, nothing of it was appended. As the two after it, it can wait or end
    /// the process, not fail otherwise.
    HOST_AFTER_DECIDE = "host.after_decide",
    /// Shards. The turn is in the log; memory does not say so yet, nobody was answered.
    HOST_AFTER_APPEND = "host.after_append",
    /// Shards. Outcomes are remembered and everybody was answered.
    HOST_AFTER_ANSWER = "host.after_answer",
    /// Shards, scope: the state store's folder. A checkpoint is gathered, and not written.
    HOST_BEFORE_CHECKPOINT = "host.before_checkpoint",
    /// Shards. The checkpoint is written; the shard does not know.
    HOST_AFTER_CHECKPOINT = "host.after_checkpoint",
}

/// How an armed point lets its place fail. The place says what each of them means there; one that makes no sense at a
/// place (a batch that is reported as not written after its commit) is a planted bug, for tests of those who look for bugs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `not_written`
    NotWritten,
    /// `unknown`
    Unknown,
    /// `fenced`
    Fenced,
}

impl Fault {
    const WORDS: [(&'static str, Self); 3] =
        [("not_written", Self::NotWritten), ("unknown", Self::Unknown), ("fenced", Self::Fenced)];

    fn of(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(name, _)| *name == word).map(|(_, fault)| *fault)
    }
}

/// The word that ends the process.
const ABORT: &str = "abort";

impl FailPoint {
    /// Its name, under which it is armed.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0
    }

    /// Passes the point. `None`, at no cost, where nothing is armed. An armed point does here what it was told (sleep,
    /// pause, panic, end the process) or returns how its place shall fail.
    ///
    /// `scope` tells logs or folders of one process apart, for points that are armed as `name@scope`.
    #[inline]
    #[must_use]
    pub fn pass(self, scope: &dyn fmt::Display) -> Option<Fault> {
        if ARMED.load(Ordering::Relaxed) == 0 { None } else { self.pass_armed(scope) }
    }

    #[cold]
    fn pass_armed(self, scope: &dyn fmt::Display) -> Option<Fault> {
        let word = evaluate(self.0).or_else(|| evaluate(&format!("{}@{scope}", self.0)))?;
        if word == ABORT {
            eprintln!("fail point {}: the process ends here", self.0);
            std::process::abort();
        }
        tracing::warn!(fail_point = self.0, word, "a fail point fires");
        Fault::of(&word)
    }
}

/// The word of a `return`, once the point has done everything else it was told.
fn evaluate(name: &str) -> Option<String> {
    fail::fail_point!(name, |word: Option<String>| Some(word.unwrap_or_default()));
    None
}

/// Fail points that are armed until this is dropped.
#[must_use = "dropping it disarms the points"]
#[derive(Debug)]
pub struct ArmedFailPoints {
    names: Vec<String>,
}

impl Drop for ArmedFailPoints {
    fn drop(&mut self) {
        for name in &self.names {
            // Not `remove`, which leaves a paused thread asleep: another action wakes it.
            let _ = fail::cfg(name, "off");
            fail::remove(name);
        }
        ARMED.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Arms fail points of this process, as the module says. Points of the same name and scope replace earlier ones.
///
/// # Errors
/// [`Error::FailPoints`] when a name is not one of [`FailPoint::ALL`] or an action cannot be read; nothing is armed then.
pub fn arm_fail_points(text: &str) -> Result<ArmedFailPoints, Error> {
    let mut armed = ArmedFailPoints { names: Vec::new() };
    // Before the first of them: from here on dropping `armed` takes it back.
    ARMED.fetch_add(1, Ordering::SeqCst);
    for point in text.split(';').map(str::trim).filter(|point| !point.is_empty()) {
        let refused = |message: String| Error::FailPoints { point: point.to_owned(), message };
        let (name, actions) =
            point.split_once('=').ok_or_else(|| refused("it is not `name=action`".to_owned()))?;
        let known = name.split('@').next().unwrap_or(name);
        if !FailPoint::ALL.iter().any(|point| point.0 == known) {
            let names: Vec<_> = FailPoint::ALL.iter().map(|point| point.0).collect();
            return Err(refused(format!("there is no such point; there are {}", names.join(", "))));
        }
        check_words(actions).map_err(refused)?;
        fail::cfg(name, actions).map_err(refused)?;
        armed.names.push(name.to_owned());
    }
    Ok(armed)
}

/// `return` has to say one of the words: without one the place could not know how to fail.
fn check_words(actions: &str) -> Result<(), String> {
    for action in actions.split("->").filter_map(|action| action.split_once("return").map(|(_, rest)| rest)) {
        let word =
            action.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or_default();
        if word != ABORT && Fault::of(word).is_none() {
            let words: Vec<_> = Fault::WORDS.iter().map(|(word, _)| *word).collect();
            return Err(format!("return({word}) is none of return({}|{ABORT})", words.join("|")));
        }
    }
    Ok(())
}

/// Arms what [`FAIL_POINTS_VARIABLE`] says, for as long as the process runs, and warns about it. Without the variable
/// nothing happens.
///
/// # Errors
/// As [`arm_fail_points`].
pub fn arm_fail_points_from_environment() -> Result<(), Error> {
    let Some(text) = std::env::var(FAIL_POINTS_VARIABLE).ok().filter(|text| !text.trim().is_empty()) else {
        return Ok(());
    };
    let armed = arm_fail_points(&text)?;
    tracing::warn!(fail_points = ?armed.names, "fail points are armed: this process will fail on purpose");
    std::mem::forget(armed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINT: FailPoint = FailPoint::KAFKA_AFTER_COMMIT;

    #[test]
    fn a_point_fires_as_often_as_it_was_told_and_only_in_its_scope() {
        let armed = arm_fail_points("kafka.after_commit@ns=1*off->2*return(fenced)").unwrap();
        assert_eq!(POINT.pass(&"other"), None);
        let fired: Vec<_> = (0..4).map(|_| POINT.pass(&"ns")).collect();
        assert_eq!(fired, [None, Some(Fault::Fenced), Some(Fault::Fenced), None]);
        drop(armed);
    }

    #[test]
    fn a_disarmed_point_does_nothing_and_lets_paused_threads_go() {
        let armed = arm_fail_points("kafka.before_commit@paused=pause").unwrap();
        let paused = std::thread::spawn(|| FailPoint::KAFKA_BEFORE_COMMIT.pass(&"paused"));
        drop(armed);
        assert_eq!(paused.join().unwrap(), None);
        assert_eq!(FailPoint::KAFKA_BEFORE_COMMIT.pass(&"paused"), None);
    }

    #[test]
    fn what_cannot_be_armed_is_refused_by_name_and_arms_nothing() {
        for (text, part) in [
            ("kafka.after_comit=panic", "there is no such point; there are embedded.before_write"),
            ("kafka.after_commit", "it is not `name=action`"),
            ("kafka.after_commit=explode", "explode"),
            ("kafka.after_commit=return", "return() is none of return(not_written|unknown|fenced|abort)"),
            (
                "kafka.before_term@x=return(unknown);kafka.after_commit=return(lost)",
                "return(lost) is none of",
            ),
        ] {
            let error = arm_fail_points(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert_eq!(FailPoint::KAFKA_BEFORE_TERM.pass(&"x"), None);
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = FailPoint::ALL.iter().map(|point| point.name()).collect();
        assert_eq!(names.len(), FailPoint::ALL.len());
    }
}
#[cfg(test)]
mod scratch_cost {
    #[test]
    fn scratch_cost() {
        let path = std::path::Path::new("/data/log");
        for label in ["unarmed", "other armed"] {
            let _armed =
                (label != "unarmed").then(|| super::arm_fail_points("kafka.before_begin@zz=off").unwrap());
            let began = std::time::Instant::now();
            for _ in 0..10_000_000u32 {
                std::hint::black_box(
                    super::FailPoint::EMBEDDED_AFTER_WRITE.pass(std::hint::black_box(&path.display())),
                );
            }
            println!("COST {label}: {:?}", began.elapsed() / 10_000_000);
        }
    }
}
