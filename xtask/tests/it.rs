//! The built `xtask` as a process, with a stand-in for cargo.

// Clippy knows only the test functions themselves as tests, not what they share.
#![allow(clippy::unwrap_used)]

mod it {
    mod ci;
}
