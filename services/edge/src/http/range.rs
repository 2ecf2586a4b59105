//! Byte ranges of outputs, after RFC 9110 §14. Pure.

/// What part of an output a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Everything.
    All,
    /// From `start` up to, not including, `end`.
    Part {
        /// First byte.
        start: u64,
        /// Byte after the last.
        end: u64,
    },
    /// Something that is not there.
    Nothing,
}

/// Reads a `Range` header for an output of `size` bytes. Other units and several ranges at once count as no range, which the
/// RFC allows.
pub(crate) fn wanted(header: &str, size: u64) -> Wanted {
    let Some(spec) = header.trim().strip_prefix("bytes=") else {
        return Wanted::All;
    };
    if spec.contains(',') {
        return Wanted::All;
    }
    part(spec.trim(), size).map_or(Wanted::Nothing, |(start, end)| Wanted::Part { start, end })
}

fn part(spec: &str, size: u64) -> Option<(u64, u64)> {
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        let length = number(last)?.min(size);
        return (length > 0).then(|| (size.saturating_sub(length), size));
    }
    let start = number(first)?;
    let end = if last.is_empty() {
        size
    } else {
        let last = number(last)?;
        if last < start {
            return None;
        }
        last.saturating_add(1).min(size)
    };
    (start < size).then_some((start, end))
}

/// Digits only: `parse` would take a sign.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_read_and_cut_to_size() {
        for (header, expected) in [
            ("bytes=0-0", Wanted::Part { start: 0, end: 1 }),
            ("bytes=2-5", Wanted::Part { start: 2, end: 6 }),
            ("bytes=2-", Wanted::Part { start: 2, end: 10 }),
            ("bytes=2-99", Wanted::Part { start: 2, end: 10 }),
            ("bytes=-3", Wanted::Part { start: 7, end: 10 }),
            ("bytes=-99", Wanted::Part { start: 0, end: 10 }),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-2", Wanted::Nothing),
            ("bytes=+1-2", Wanted::Nothing),
            ("bytes=x", Wanted::Nothing),
            ("bytes=99999999999999999999-", Wanted::Nothing),
            ("bytes=0-1,3-4", Wanted::All),
            ("lines=1-2", Wanted::All),
        ] {
            assert_eq!(wanted(header, 10), expected, "{header}");
        }
    }
}
