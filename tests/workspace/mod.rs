//! What holds of the repository's own files.

mod imports;
