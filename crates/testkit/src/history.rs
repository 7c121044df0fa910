//! Histories: what clients asked, what they were told, and whether the log agrees.
//!
//! Concurrent clients write every request down with a [`Recorder`]: command id, wish, when it was asked and answered on
//! one monotonic clock, and what the answer said. [`check`] holds the finished [`History`] against the records of the
//! log. It is a pure function of the two, so that a failure can be kept ([`Evidence`]) and checked again.
//!
//! The rules, by what breaks them ([`Rule`]):
//!
//! - what was told: every success stands in the log exactly once, at its version and position; a refusal stands in the
//!   outcomes and has no event; two requests of one command id are never told different things;
//! - what was *not* done: a request that was told "nothing was done" was not the one that did it. If others under the
//!   same id may have done it, that is fine, unless the log shows that it was done before they were asked;
//! - the log itself: versions without gaps, terms that never go back, the events of a command side by side in one batch,
//!   no command decided twice, none that nobody asked for;
//! - real time: what was answered before another request was made stands before it.
//!
//! It is *not* a check of the shop's rules (that is `millrace verify`), and it cannot see an answer that was given
//! before the log had the event if the event came to stand there after all.
//!
//! ```
//! use schemas::{CommandHash, CommandId, Principal, Version};
//! use testkit::history::{Recorder, Scope, Told, Wish, check};
//!
//! let recorder = Recorder::new();
//! let wish = Wish {
//!     stream: "stock/MUG".parse()?,
//!     kind: "receive".into(),
//!     hash: CommandHash::of(&("stock/MUG", 5)),
//!     principal: Principal::anonymous(),
//!     expected_version: None,
//! };
//! let asked = recorder.ask(1, CommandId::new(uuid::Uuid::from_u128(7)), wish);
//! asked.told(Told::Accepted { version: Version::FIRST, events: Some(1), position: "s/0@0".parse()?, replayed: false });
//!
//! let report = check(&recorder.history(), &[], &Scope::default());
//! assert!(report.to_string().contains("lost"), "{report}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attempt;
mod checker;
mod decisions;
mod evidence;
mod export;
mod logged;
mod operations;
mod real_time;
mod recorder;
mod report;
mod text;

pub use attempt::{Attempt, History, Told, Wish};
pub use checker::{Scope, check};
pub use evidence::Evidence;
pub use export::{export_log, export_records};
pub use logged::{Logged, LoggedRecord, read_log};
pub use recorder::{Asked, Recorder};
pub use report::{Counts, Report, Rule, Violation};

#[cfg(test)]
mod tests;
