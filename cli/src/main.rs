//! The millrace binary: composition root and operator's tool.

fn main() {}
