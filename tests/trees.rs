//! Any tree.
