//! Headers that a customer fixes for the requests to an endpoint: which may be, and how they are kept. Pure.

use http::{HeaderMap, HeaderName, HeaderValue};
use proto::{Fault, Violation, code};

use crate::Limits;

/// A header as the customer wrote it: its name, and its value, which may be a credential.
pub(crate) type Header = (String, String);

/// What is ours to say, or is about the connection and not the message.
const OURS: [&str; 22] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "te",
    "trailer",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-real-ip",
];
/// The same, by how they begin.
const OURS_BEGIN: [&str; 3] = ["webhook-", "proxy-", "sec-"];
/// Characters of the longest name.
const MAX_NAME_CHARS: usize = 64;

/// Checks headers; all that is wrong is said at once.
pub(crate) fn check(headers: &[Header], limits: &Limits) -> Result<(), Fault> {
    let mut wrong = Vec::new();
    let (count, most) = (headers.len(), limits.max_headers);
    if count > usize::try_from(most).unwrap_or(usize::MAX) {
        wrong.push(Violation {
            param: "headers".to_owned(),
            message: format!("headers has {count} headers; at most {most} are allowed"),
        });
    }
    let mut known: Vec<HeaderName> = Vec::new();
    for (name, value) in headers {
        let problem = match named(name) {
            Err(problem) => Some(problem),
            Ok(parsed) if known.contains(&parsed) => {
                Some("comes twice; case does not matter".to_owned())
            }
            Ok(parsed) => {
                known.push(parsed);
                valued(value, limits.max_header_bytes)
            }
        };
        // A name that is none may hold anything: it is said as far as it can be shown.
        let shown: String = name.escape_default().take(MAX_NAME_CHARS).collect();
        wrong.extend(problem.map(|problem| Violation {
            param: format!("headers.{shown}"),
            message: format!("headers.{shown} {problem}"),
        }));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Fault::from_violations(code::INVALID_PARAMETER, wrong))
}

fn named(name: &str) -> Result<HeaderName, String> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).ok();
    let parsed = parsed.filter(|_| name.len() <= MAX_NAME_CHARS).ok_or_else(|| {
        format!(
            "is not the name of a header: letters, digits and -, at most {MAX_NAME_CHARS} of them"
        )
    })?;
    let word = parsed.as_str();
    let ours = OURS.contains(&word) || OURS_BEGIN.iter().any(|begin| word.starts_with(begin));
    if ours {
        return Err("is a header that we send ourselves, or that is about the connection; any other name is allowed".to_owned());
    }
    Ok(parsed)
}

/// What is wrong with a value.
fn valued(value: &str, max_bytes: u32) -> Option<String> {
    let fits = value.len() <= usize::try_from(max_bytes).unwrap_or(usize::MAX);
    let plain = value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && value.trim() == value;
    (value.is_empty() || !fits || !plain).then(|| {
        format!(
            "must have a value of 1 to {max_bytes} visible ASCII characters, without a space at its ends"
        )
    })
}

/// Puts headers into a request. What was checked before is valid; anything else is left out.
pub(crate) fn put(request: &mut HeaderMap, headers: &[Header]) {
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).ok();
        if let (Ok(name), Some(mut value)) = (named(name), value) {
            value.set_sensitive(true);
            request.insert(name, value);
        }
    }
}

/// As they are kept, to be sealed.
pub(crate) fn encode(headers: &[Header]) -> Vec<u8> {
    // A list of pairs of texts is always JSON.
    serde_json::to_vec(headers).unwrap_or_default()
}

/// What was kept; `None`: it was not written by [`encode`].
pub(crate) fn decode(kept: &[u8]) -> Option<Vec<Header>> {
    serde_json::from_slice(kept).ok()
}

#[cfg(test)]
mod tests {
    use chassis::config::Settings;

    use super::*;

    fn wrong(headers: &[(&str, &str)]) -> Vec<String> {
        let limits = Settings::from_toml("").section("limits.webhooks").unwrap();
        let headers: Vec<Header> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let fault = check(&headers, &limits).err();
        let said = fault.map(|fault| {
            assert_eq!(fault.code, code::INVALID_PARAMETER);
            let each = fault.violations.iter().map(|wrong| wrong.param.clone());
            let each: Vec<String> = each.collect();
            // One thing wrong is the fault itself.
            if each.is_empty() {
                fault.param.into_iter().collect()
            } else {
                each
            }
        });
        said.unwrap_or_default()
    }

    #[test]
    fn what_would_change_the_request_is_refused() {
        assert!(wrong(&[("Authorization", "Bearer a b"), ("x-tenant", "7")]).is_empty());
        for (name, value) in [
            ("", "v"),
            ("a b", "v"),
            ("a:b", "v"),
            ("a\r\nb", "v"),
            ("ä", "v"),
            ("x", ""),
            ("x", " v"),
            ("x", "v\r\nwebhook-id: 1"),
            ("x", "v\nb"),
            ("x", "v\0"),
            ("x", "ü"),
            ("Host", "example.com"),
            ("WEBHOOK-Signature", "v1,x"),
            ("Content-Length", "1"),
            ("content-type", "text/plain"),
            ("Transfer-Encoding", "chunked"),
            ("connection", "close"),
            ("User-Agent", "me"),
            ("proxy-authorization", "x"),
        ] {
            assert_eq!(wrong(&[(name, value)]).len(), 1, "{name:?}: {value:?}");
        }
        let long = "v".repeat(1_025);
        assert_eq!(wrong(&[("x", &long)]), ["headers.x"]);
        assert_eq!(wrong(&[("x", "1"), ("X", "2")]), ["headers.X"]);
        let many: Vec<String> = (0..11).map(|n| format!("x-{n}")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "v")).collect();
        assert_eq!(wrong(&many), ["headers"]);
        assert_eq!(
            wrong(&[("host", "a"), ("b", "\n")]),
            ["headers.host", "headers.b"]
        );
    }

    #[test]
    fn what_is_kept_is_put_into_requests() {
        let headers = vec![("X-Token".to_owned(), "t".to_owned())];
        let mut request = HeaderMap::new();
        put(&mut request, &decode(&encode(&headers)).unwrap());
        assert_eq!(request["x-token"], "t");
        assert!(request["x-token"].is_sensitive());
        put(&mut request, &[("host".to_owned(), "h".to_owned())]);
        assert_eq!(request.len(), 1);
    }
}
