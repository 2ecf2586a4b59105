//! Speaking to the person at the terminal: the one place of xtask that writes to standard output.

use std::io::Write;

/// Prints one line. A closed standard output (`cargo xtask tidy | head`) is not an error of ours.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
