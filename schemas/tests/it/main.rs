//! What the vocabulary promises to those who read the topics.

mod released;
