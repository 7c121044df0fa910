//! The process managers over an embedded log, with commands that a test decides.

// Marked, so that the lints know the helpers for tests too.
#[cfg(test)]
mod it {
    mod checkpoint;
    mod payments;
    mod platform;
    mod timers;
}
