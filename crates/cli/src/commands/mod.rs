//! The commands: each turns what was typed into values, and does what it is named after.

pub mod diff;
pub mod load;
pub mod lock;
pub mod manual;
pub mod options_page;
pub mod plan;
pub mod push;
pub mod stream;
pub mod why;
