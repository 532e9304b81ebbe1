//! The command line of `stream-layered`.

fn main() {}
