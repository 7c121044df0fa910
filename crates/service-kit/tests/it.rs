//! What can only be seen from outside of a process.

// Marked, so that the lints know the helpers for tests too.
#[cfg(test)]
mod it {
    mod signals;
}
