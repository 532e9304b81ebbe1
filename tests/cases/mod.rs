//! Situations that users and attackers met, one test each, named after where it was told.

mod carried_plans;
mod engines;
mod mistakes;
mod settings;
mod terminal;
