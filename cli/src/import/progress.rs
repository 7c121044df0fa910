//! How far the import is: a bar with rate and remaining time on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};

const BAR: &str = "{prefix:<26} [{bar:28}] {human_pos:>9}/{human_len}  {rate:>9}  {eta} left";
const TICK: Duration = Duration::from_millis(200);
/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// One part of the import on its way; it is told on stderr.
pub(super) struct Phase {
    name: &'static str,
    bar: ProgressBar,
    /// Where lines are printed: when the last one was.
    last_line: Option<Mutex<Instant>>,
}

impl Phase {
    /// Begins a phase of `total` steps.
    pub(super) fn start(name: &'static str, total: usize) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = if is_terminal { ProgressBar::new(total as u64) } else { ProgressBar::hidden() };
        bar.set_length(total as u64);
        bar.set_prefix(name);
        if is_terminal {
            let style = ProgressStyle::with_template(BAR).expect("the template is tested");
            bar.set_style(style.progress_chars("=> ").with_key(
                "rate",
                |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
                    let _ = write!(out, "{:.0}/s", state.per_sec());
                },
            ));
            bar.enable_steady_tick(TICK);
        }
        Self { name, bar, last_line: (!is_terminal).then(|| Mutex::new(Instant::now())) }
    }

    /// Further steps are done.
    pub(super) fn advance(&self, steps: u64) {
        self.bar.inc(steps);
        let Some(last_line) = &self.last_line else { return };
        let mut last_line = last_line.lock().unwrap_or_else(PoisonError::into_inner);
        if last_line.elapsed() >= LINE_EVERY {
            *last_line = Instant::now();
            eprintln!("{}", self.line());
        }
    }

    /// Ends the phase with one line.
    pub(super) fn end(self) {
        let elapsed = self.bar.elapsed();
        let (done, seconds) = (self.bar.position(), elapsed.as_secs_f64().max(0.001));
        self.bar.finish_and_clear();
        eprintln!(
            "{}: {} in {seconds:.1} s ({:.0}/s)",
            self.name,
            HumanCount(done),
            self.bar.position() as f64 / seconds
        );
    }

    fn line(&self) -> String {
        let total = self.bar.length().unwrap_or_default();
        format!(
            "{}: {} of {}, {:.0}/s, {} left",
            self.name,
            HumanCount(self.bar.position()),
            HumanCount(total),
            self.bar.per_sec(),
            HumanDuration(self.bar.eta())
        )
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        // An error's message must not stand behind a bar.
        if !self.bar.is_finished() {
            self.bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_s_template_is_valid() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        let phase = Phase { name: "orders", bar: ProgressBar::hidden(), last_line: None };
        phase.bar.set_length(14_334);
        phase.advance(3_000);
        let line = phase.line();
        assert!(line.starts_with("orders: 3,000 of 14,334, ") && line.ends_with(" left"), "{line}");
    }
}
