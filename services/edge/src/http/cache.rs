//! The cache of chat's answers as customers see it: the header that asks it, and those that tell what it had.

use http::HeaderMap;
use proto::{
    Fault,
    chat::v1::{Cached, Head},
    code,
};

use super::put;
use crate::error::ApiError;

/// The name of the header by which a client asks, and is told.
const CACHE: &str = "x-aio-cache";
/// What stands before the age.
const MAX_AGE: &str = "max-age=";

/// How old an answer may be, in seconds, if the client asks for one that is kept; 0: as old as usual.
pub(crate) fn max_age(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let mut values = headers.get_all(CACHE).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let word = value.to_str().unwrap_or_default().trim();
    let word = word.to_ascii_lowercase();
    match (word.as_str(), values.next()) {
        ("no-store", None) => Ok(None),
        ("on", None) => Ok(Some(0)),
        (age, None) => seconds(age).map(Some).ok_or_else(wrong),
        (_, Some(_)) => Err(wrong()),
    }
}

/// Says what the cache had, to a client that asked.
pub(crate) fn put_cached(headers: &mut HeaderMap, head: &Head) {
    let Some(Cached { hit, age }) = head.cached else {
        return;
    };
    if !hit {
        return put_miss(headers);
    }
    put(headers, CACHE, "hit");
    put(headers, "age", &age.to_string());
    // What a stream costs is otherwise known at its end.
    put(headers, "x-aio-cost-credits", "0");
}

/// Says that the cache had nothing.
pub(crate) fn put_miss(headers: &mut HeaderMap) {
    put(headers, CACHE, "miss");
}

/// A response that is kept is known by the id of its own operation, so that it cannot be another's.
pub(crate) fn not_of_kept_responses() -> ApiError {
    let message = format!(
        "{CACHE} must be left out, or no-store, unless the response has \"store\": false: one that is kept has an id of its own"
    );
    Fault::new(code::INVALID_PARAMETER, message)
        .param(CACHE)
        .into()
}

fn seconds(word: &str) -> Option<i64> {
    let digits = word.strip_prefix(MAX_AGE)?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = digits.parse().ok().filter(|_| is_number)?;
    (seconds > 0).then_some(seconds)
}

fn wrong() -> ApiError {
    let message = format!(
        "{CACHE} must be one of max-age=<seconds> with a whole number of at least 1, on, and no-store"
    );
    Fault::new(code::INVALID_PARAMETER, message)
        .param(CACHE)
        .into()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_client_asks_by_one_word() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CACHE, HeaderValue::from_str(value).unwrap());
            }
            max_age(&headers).map_err(|error| error.fault().param.clone())
        };
        for (values, age) in [
            (&[][..], None),
            (&["no-store"], None),
            (&["on"], Some(0)),
            (&[" On "], Some(0)),
            (&["max-age=1"], Some(1)),
            (&["Max-Age=86400"], Some(86_400)),
            (&["max-age=9223372036854775807"], Some(i64::MAX)),
        ] {
            assert_eq!(read(values), Ok(age), "{values:?}");
        }
        for wrong in [
            &[""][..],
            &["off"],
            &["true"],
            &["max-age"],
            &["max-age="],
            &["max-age=0"],
            &["max-age=-1"],
            &["max-age=+1"],
            &["max-age=1.5"],
            &["max-age=1h"],
            &["max-age= 60"],
            &["max-age=60, on"],
            &["max-age=9223372036854775808"],
            &["on", "on"],
            &["no-store", "on"],
        ] {
            assert_eq!(read(wrong), Err(Some(CACHE.to_owned())), "{wrong:?}");
        }
    }

    #[test]
    fn a_client_that_asked_is_told() {
        let told = |cached| {
            let mut headers = HeaderMap::new();
            let head = Head {
                cached,
                ..Head::default()
            };
            put_cached(&mut headers, &head);
            let value = |name| {
                let value = headers.get(name)?;
                Some(value.to_str().unwrap().to_owned())
            };
            [CACHE, "age", "x-aio-cost-credits"].map(value)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(told(None), [None, None, None]);
        let miss = Cached { hit: false, age: 0 };
        assert_eq!(told(Some(miss)), [some("miss"), None, None]);
        let hit = Cached { hit: true, age: 7 };
        assert_eq!(told(Some(hit)), [some("hit"), some("7"), some("0")]);
    }
}
