//! What the program prints for the person who started it. Logs are something else: they go to standard error.

use std::{fmt::Display, io::Write as _, path::Path};

use anyhow::Context as _;

/// One line to standard output. A closed pipe is no reason to stop serving.
pub(crate) fn line(text: impl Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Why the program ends, with its causes, to standard error.
pub(crate) fn failure(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr(), "aio: {error:#}");
}

/// A number of bytes, such as 12.3 MiB.
pub(crate) fn size(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, shift) in units {
        let tenths = u128::from(bytes).saturating_mul(10) >> shift;
        if tenths >= 10 {
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} bytes")
}

/// How many bytes an ordinary user may still write where this is.
///
/// # Errors
/// When the file system does not say.
pub(crate) fn room(place: &Path) -> anyhow::Result<u64> {
    let told = rustix::fs::statvfs(place)
        .with_context(|| format!("cannot ask for the room in {}", place.display()))?;
    Ok(told.f_bavail.saturating_mul(told.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_told_in_the_largest_unit_that_fits() {
        for (bytes, told) in [
            (0, "0 bytes"),
            (1_023, "1023 bytes"),
            (1_024, "1.0 KiB"),
            (12_897_484, "12.2 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(size(bytes), told);
        }
    }
}
