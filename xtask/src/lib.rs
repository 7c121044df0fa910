//! The project's own tooling: `cargo xtask ci | prove | tidy | infra | bench`.
//!
//! A library with a thin binary, so that the broker launcher can be used by other tools and every check can be tested
//! with small inputs. It is *not* part of the product: no crate but this one may depend on it.
//!
//! | module | does |
//! |---|---|
//! | [`ci`] | everything that must hold before a change goes in, in order, with times |
//! | [`tidy`] | what the compiler does not check: the dependency table, released schemas, house style |
//! | [`prove`] | longer proofs: the tests' own code with more rounds |
//! | [`bench`](mod@bench) | measurements |
//! | [`infra`] | starts and stops the real servers that tests talk to |
//! | [`process`], [`workspace`] | children that end when they should; where things are |

pub mod bench;
pub mod ci;
pub mod infra;
pub mod process;
pub mod prove;
pub mod tidy;
pub mod workspace;
