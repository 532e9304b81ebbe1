//! Situations that users and attackers met, one test each, named after where it was told.

mod bases;
mod caches;
mod carried_plans;
mod changed_files;
mod claims;
mod engines;
mod few_threads;
mod mistakes;
mod outputs;
mod readers;
mod registries;
mod settings;
mod terminal;
