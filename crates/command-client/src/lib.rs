//! The port through which commands are submitted, and its HTTP client.
