//! Document tables for read models.
