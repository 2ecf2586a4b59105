//! How much a text of JSON holds, before anybody makes values of it. Pure.

/// So many values a request may hold where values are made of it: a tree of JSON is many times as large as its text.
pub const MAX_VALUES: usize = 100_000;

/// How many values a text of JSON holds at most.
pub fn values(json: &[u8]) -> usize {
    let (mut count, mut rest) = (1_usize, json);
    while let Some(at) = memchr::memchr3(b'"', b',', b'[', rest) {
        let (_, from) = rest.split_at(at);
        rest = match from.split_first() {
            Some((b'"', string)) => behind(string),
            Some((_, after)) => {
                count = count.saturating_add(1);
                after
            }
            None => return count,
        };
    }
    count
}

/// What follows a string.
fn behind(mut string: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', string) {
        let skipped = if string.get(at) == Some(&b'"') { 1 } else { 2 };
        string = string.get(at.saturating_add(skipped)..).unwrap_or_default();
        if skipped == 1 {
            break;
        }
    }
    string
}
