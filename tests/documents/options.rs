//! docs/options.md, which is written from the program's help.

use crate::support::program::{repository, stream_layered, succeed};
use crate::support::written::is_as_written;

#[test]
fn the_page_of_options_is_the_programs_help() {
    let page = succeed(stream_layered().arg("options-page"));
    let page = String::from_utf8(page).unwrap();
    is_as_written(&repository().join("docs/options.md"), &page);
}
