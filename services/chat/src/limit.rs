//! How much output the provider of an answer was allowed, and how an answer that reaches that says whose limit it was. Pure.
//!
//! The provider is told the limit, and keeps it. One that does not is stopped when more bytes of text have come than so many tokens can
//! have: an answer within its limit never is.

use bytes::Bytes;

use crate::{
    bound::Bound,
    providers::Chunk,
    reply::{finish_event, with_member},
    scan::Finish,
};

/// Where an answer says whose limit it reached, beside `credits_consumed`.
const FINISH_CODE: &str = "finish_code";
/// That what was held paid for no more output, as JSON: the balance, a cap of the key, or the request's own limit of its cost.
const CREDIT_LIMIT_REACHED: &str = "\"credit_limit_reached\"";

/// The limit of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    whose: Whose,
    /// The most bytes of text that are within it.
    bytes: u64,
}

/// Who set a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// The request, or its model: as much as was wanted.
    Request,
    /// What was held: less than was wanted.
    Credit,
}

// === impl Limit ===

impl Limit {
    /// The limit of an answer whose choices may have so many tokens each, none of which has more than `most_bytes`.
    pub(crate) fn of(bound: &Bound, max_output: u64, most_bytes: u64) -> Self {
        let whose = if max_output < bound.output {
            Whose::Credit
        } else {
            Whose::Request
        };
        let tokens = max_output.saturating_mul(bound.choices);
        Self {
            whose,
            bytes: tokens.saturating_mul(most_bytes),
        }
    }

    /// Whether so much text is more than was allowed, however it is counted.
    pub(crate) const fn is_passed(&self, content_bytes: u64) -> bool {
        content_bytes > self.bytes
    }

    /// An event or an answer; one that ends for its length says whose limit that was, if it was not the one it asked for.
    pub(crate) fn told(&self, chunk: Chunk) -> Chunk {
        match (self.whose, chunk.signs.finish) {
            (Whose::Credit, Some(Finish::Length)) => Chunk {
                data: with_member(&chunk.data, FINISH_CODE, CREDIT_LIMIT_REACHED),
                ..chunk
            },
            (Whose::Credit | Whose::Request, _) => chunk,
        }
    }

    /// The event that ends a stream which its provider did not, in the words of its first one.
    pub(crate) fn end(&self, first: &[u8]) -> Bytes {
        let event = finish_event(first, Finish::Length);
        match self.whose {
            Whose::Credit => with_member(&event, FINISH_CODE, CREDIT_LIMIT_REACHED),
            Whose::Request => event,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Bound = Bound {
        text: 10,
        media: 0,
        pages: 0,
        output: 1_000,
        choices: 2,
    };

    fn told(limit: &Limit, json: &'static str) -> String {
        let chunk = Chunk::of(Bytes::from_static(json.as_bytes()));
        String::from_utf8(limit.told(chunk).data.to_vec()).unwrap()
    }

    #[test]
    fn only_an_end_for_want_of_credit_is_told() {
        let (credit, request) = (Limit::of(&BOUND, 999, 128), Limit::of(&BOUND, 1_000, 128));
        let length = r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#;
        let code = r#","finish_code":"credit_limit_reached"}"#;
        assert_eq!(
            told(&credit, length),
            format!("{}{code}", length.strip_suffix('}').unwrap())
        );
        assert_eq!(told(&request, length), length);
        for other in [
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[{"delta":{"content":"length"},"finish_reason":null}]}"#,
        ] {
            assert_eq!(told(&credit, other), other);
        }
        let first = br#"{"id":"c1","created":7,"model":"m","choices":[]}"#;
        let expected = r#"{"id":"c1","created":7,"model":"m","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#;
        assert_eq!(request.end(first), expected);
        assert!(credit.end(first).ends_with(code.as_bytes()));
    }

    #[test]
    fn only_what_no_tokens_can_have_is_too_much() {
        let limit = Limit::of(&BOUND, 256, 128);
        assert!(!limit.is_passed(2 * 256 * 128));
        assert!(limit.is_passed(2 * 256 * 128 + 1));
        let widest = Limit::of(&BOUND, u64::MAX, u64::MAX);
        assert!(!widest.is_passed(u64::MAX));
    }
}
