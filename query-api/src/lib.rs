//! Read models to HTTP.
