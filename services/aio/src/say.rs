//! What the program prints for the person who started it. Logs are something else: they go to standard error.

use std::{fmt::Display, io::Write as _};

/// One line to standard output. A closed pipe is no reason to stop serving.
pub(crate) fn line(text: impl Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Why the program ends, with its causes, to standard error.
pub(crate) fn failure(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr(), "aio: {error:#}");
}
