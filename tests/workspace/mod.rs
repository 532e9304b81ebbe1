//! What holds of the repository's own files.

mod circles;
mod imports;
mod metadata;
mod source;
mod test_files;
