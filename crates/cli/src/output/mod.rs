//! What the user sees: standard output and error, progress, tables, and files under `-o`.

pub mod budget;
pub mod console;
pub mod exit;
pub mod fleet_table;
pub mod learned;
pub mod load_progress;
pub mod made_twice;
pub mod oci_output;
pub mod output_file;
pub mod plan_table;
pub mod progress;
pub mod progress_line;
pub mod push_progress;
pub mod shown;
pub mod table;
