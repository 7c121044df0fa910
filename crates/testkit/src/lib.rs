//! Test helpers: an in-process app, generators, seeded ids.
