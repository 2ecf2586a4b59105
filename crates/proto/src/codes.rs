//! The published list of error codes: one stable word per cause, with its kind, cause and remedy.
//! `docs/errors.md` is this list; a test keeps them equal.

use crate::Kind;

/// One published error code: a row of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(&'static Row);

/// What the list says of a code.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// The stable machine word.
    pub word: &'static str,
    /// What a caller can do about it; decides the HTTP status.
    pub kind: Kind,
    /// What happened, for the docs and as the message where nothing better is known.
    pub cause: &'static str,
    /// What the reader should do.
    pub remedy: &'static str,
    /// Whether the same request may succeed if sent again.
    pub retry: Retry,
}

/// Whether the same request may succeed if sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Not before something was changed.
    No,
    /// Yes, after `Retry-After` or a short wait.
    Yes,
    /// The first may have run, and a provider may have been paid for it: only by somebody who takes a second run.
    /// Programs must not do it by themselves.
    PerhapsPaid,
}

// === impl Retry ===

impl Retry {
    /// The words of the docs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Yes => "yes",
            Self::PerhapsPaid => "only if a second run is acceptable",
        }
    }
}

macro_rules! codes {
    ($($name:ident = $word:literal, $kind:ident, $retry:ident, $cause:literal, $remedy:literal;)*) => {
        /// The codes, by name.
        pub(crate) mod list {
            use super::{Code, Retry, Row};
            use crate::Kind;
            $(
                #[doc = $cause]
                pub const $name: Code = Code(&Row { word: $word, kind: Kind::$kind, cause: $cause, remedy: $remedy, retry: Retry::$retry });
            )*
        }
        /// Every published code, in the order of the docs.
        pub const ALL: &[Code] = &[$(list::$name),*];
    };
}

codes! {
    INVALID_JSON = "invalid_json", BadRequest, No, "The body is not valid JSON.", "Send one JSON object, UTF-8, with `content-type: application/json`.";
    INVALID_PARAMETER = "invalid_parameter", BadRequest, No, "A field has a wrong type or a value that is not allowed.", "The message names the field and what is allowed.";
    MISSING_PARAMETER = "missing_parameter", BadRequest, No, "A required field is missing.", "Add the field that `param` names.";
    UNKNOWN_PARAMETER = "unknown_parameter", BadRequest, No, "A field is not known for this model or route.", "Remove the field, or check its spelling; `GET /api/v1/models/{id}` lists the fields.";
    UNKNOWN_MODEL = "unknown_model", BadRequest, No, "No such model, or not on this route.", "`GET /api/v1/models` lists the models and their routes.";
    FORBIDDEN_URL = "forbidden_url", BadRequest, No, "A URL in the request points to an address we do not call.", "Use a public `https` address.";
    MISSING_KEY = "missing_key", Authentication, No, "The request carries no API key.", "Send `Authorization: Bearer aio_…` or `x-api-key: aio_…`.";
    INVALID_KEY = "invalid_key", Authentication, No, "The API key is malformed, unknown, expired or revoked.", "Check the key; make a new one if it was revoked.";
    INSUFFICIENT_CREDITS = "insufficient_credits", InsufficientCredits, No, "The available balance does not cover the highest price of this request.", "Add credits, wait for open holds to end, or ask for less.";
    KEY_CAP_EXCEEDED = "key_cap_exceeded", InsufficientCredits, No, "The key has spent what its caps allow.", "Wait for the next day or month, raise the key's cap, or use another key.";
    MAX_COST_EXCEEDED = "max_cost_exceeded", BadRequest, No, "The request can cost more than its own header `x-aio-max-cost-credits` allows; nothing was held.", "Raise the header, or ask for less; `POST /api/v1/quote` says what a request costs.";
    MISSING_SCOPE = "missing_scope", Permission, No, "The key does not have the scope this route needs.", "Use a key with the scope that the message names.";
    LIMITED_KEY = "limited_key", Permission, No, "A key that is limited itself (caps, models, addresses, an expiry) makes and changes no keys.", "Use a key with scope `manage` that has no such limits.";
    MODEL_NOT_ALLOWED = "model_not_allowed", Permission, No, "The key's list of allowed models does not hold this model.", "Use another model, or a key that allows it.";
    ADDRESS_NOT_ALLOWED = "address_not_allowed", Permission, No, "The key may not be used from this address.", "Call from an address on the key's list.";
    ACCOUNT_FROZEN = "account_frozen", Permission, No, "The operator has stopped this account; what was running goes on.", "Ask the operator.";
    UNKNOWN_ROUTE = "unknown_route", NotFound, No, "There is no such route.", "Check the path; every route starts with `/api/v1`.";
    METHOD_NOT_ALLOWED = "method_not_allowed", BadRequest, No, "The route does not take this HTTP method.", "Use the method that the docs name for this route.";
    NOT_FOUND = "not_found", NotFound, No, "There is no such thing for this key.", "Check the id, and that the key belongs to the account and mode that made it.";
    NOT_CANCELLABLE = "not_cancellable", Conflict, No, "The task has ended, or its provider has started and cannot cancel.", "Wait for the task to end.";
    IDEMPOTENCY_IN_PROGRESS = "idempotency_in_progress", Conflict, Yes, "The first request with this Idempotency-Key is still running.", "Try again after `Retry-After`.";
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch", Unprocessable, No, "This Idempotency-Key was used with another body.", "Use a new key for a new request.";
    IDEMPOTENCY_NOT_KEPT = "idempotency_not_kept", Conflict, No, "The first request with this Idempotency-Key was answered and charged, and its answer was too long to be kept.", "Use a new key to have the request run again.";
    HOLD_CONFLICT = "hold_conflict", Conflict, No, "This operation id was already used for something else.", "Send the request again; a new id is made for it.";
    BODY_TOO_LARGE = "body_too_large", PayloadTooLarge, No, "The body is larger than this route takes.", "Send less; the message names the limit.";
    RATE_LIMITED = "rate_limited", RateLimit, Yes, "The key or its account sent more requests per minute than it may.", "Wait for `Retry-After`.";
    TOO_MANY_CONCURRENT = "too_many_concurrent_requests", RateLimit, Yes, "The key or its account has as many open requests as it may.", "Wait for some to end.";
    TOO_MANY_OPEN_TASKS = "too_many_open_tasks", RateLimit, Yes, "The key or its account has as many open tasks as it may.", "Wait for some to end, or cancel some.";
    TOO_MANY_ENDPOINTS = "too_many_endpoints", Conflict, No, "The account has as many webhook endpoints as it may.", "Remove one that is not needed.";
    DELIVERY_UNDER_WAY = "delivery_under_way", Conflict, No, "The delivery has not ended: an attempt is being made, or the next one is waited for.", "Wait until it is `delivered` or `dead`.";
    ENDPOINT_UNAVAILABLE = "endpoint_unavailable", Conflict, No, "The webhook endpoint is disabled, or was removed: nothing is sent to it.", "Let a disabled one go on with `PATCH` `{\"disabled\":false}`; to a removed one nothing is sent again.";
    FILE_ROOM_FULL = "file_room_full", Conflict, No, "The account keeps as many files, or as many bytes of them, as it may.", "Delete files that are no longer needed, or wait until some expire.";
    OUTPUT_ROOM_FULL = "output_room_full", Conflict, No, "The account keeps as much of what its tasks made as it may: files, or bytes of them.", "Delete outputs that are no longer needed (`DELETE /tasks/{id}/files/{n}`), or wait until some expire.";
    MAY_RUN_TWICE = "may_run_twice", Conflict, No, "A provider may have the task, and would be paid a second time.", "The operator looks at the provider, and forces it if the provider does not have it.";
    INTERNAL = "internal", Internal, Yes, "Something is wrong on our side; it has been logged under the request id.", "Try again; tell the operator the request id if it stays.";
    UPSTREAM_FAILED = "upstream_failed", Upstream, Yes, "The provider failed; nothing was charged but what a stream had delivered before.", "Try again.";
    UPSTREAM_REFUSED = "upstream_refused", BadRequest, No, "The provider refused the request as not valid.", "The message holds what the provider said.";
    INPUT_TOO_LONG = "input_too_long", BadRequest, No, "What was given lasts longer than the task's `max_seconds`; nothing was charged.", "Ask for more seconds, or give a shorter one.";
    CONTENT_MODERATED = "content_moderated", BadRequest, No, "The provider refused the content.", "Change the request's content.";
    UPSTREAM_BUSY = "upstream_busy", Unavailable, Yes, "The provider takes no more requests at the moment; nothing was charged.", "Try again after `Retry-After`.";
    UPSTREAM_TIMEOUT = "upstream_timeout", Timeout, PerhapsPaid, "The provider did not answer in time; nothing was charged.", "Try again if a second run is acceptable.";
    SUBMIT_OUTCOME_UNKNOWN = "submit_outcome_unknown", Upstream, PerhapsPaid, "We lost the provider's answer to a paid submit; nothing was charged.", "Submit a new task if a second run is acceptable.";
    DEADLINE_EXCEEDED = "deadline_exceeded", Timeout, No, "The task did not finish before its deadline; nothing was charged.", "Submit a new task.";
    CANCELLED = "cancelled", Conflict, No, "The task was cancelled; nothing was charged.", "Submit a new task.";
    LIVE_KEY_NEEDED = "live_key_needed", Permission, No, "Credit is bought with a live key; a test key spends play money.", "Use a key that begins with `aio_` and not with `aio_test_`.";
    INVALID_REDEEM_CODE = "invalid_redeem_code", BadRequest, No, "The code cannot be redeemed: it is mistyped, unknown, used, expired, revoked, or for keys of the other mode.", "Check the code and the key's mode; else ask whoever gave you the code.";
    INVALID_SIGNATURE = "invalid_signature", BadRequest, No, "The event's signature is missing, wrong or too old.", "Events are taken from the payment provider only; the operator checks `orders.stripe.webhook_secret`.";
    PAYMENTS_NOT_CONFIGURED = "payments_not_configured", Unavailable, No, "Payments are not set up here.", "The operator sets what the message names.";
    PAYMENT_PROVIDER_FAILED = "payment_provider_failed", Upstream, Yes, "The payment provider cannot be reached, or did not do what was asked; nothing was paid.", "Try again; tell the operator the request id if it stays.";
    NO_PROVIDER = "no_provider", Unavailable, No, "No provider is configured for this model.", "The operator sets the credential that the message names, or use a test key.";
    BILLING_UNAVAILABLE = "billing_unavailable", Unavailable, Yes, "Billing cannot be reached; nothing was charged, unless billing did charge and each of its answers was lost.", "Try again after `Retry-After`; `GET /api/v1/operations` tells what was charged.";
    OVERLOADED = "overloaded", Unavailable, Yes, "We take no more work at the moment.", "Try again after `Retry-After`.";
    SERVICE_UNAVAILABLE = "service_unavailable", Unavailable, Yes, "A part of the platform cannot be reached.", "Try again after `Retry-After`.";
    TIMEOUT = "timeout", Timeout, PerhapsPaid, "The request took too long inside the platform; it may still have run.", "Try again if a second run is acceptable.";
    REQUEST_TIMEOUT = "request_timeout", Timeout, Yes, "The request's body did not come in time.", "Send it again, faster; nothing of it was done.";
}

// === impl Code ===

impl std::ops::Deref for Code {
    type Target = Row;

    fn deref(&self) -> &Row {
        self.0
    }
}

impl Code {
    /// Finds a code by its word.
    pub fn find(word: &str) -> Option<Self> {
        ALL.iter().copied().find(|code| code.word == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique() {
        let mut words: Vec<_> = ALL.iter().map(|code| code.word).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), ALL.len());
    }

    #[test]
    fn the_docs_list_exactly_these_codes() {
        let docs = include_str!("../../../docs/errors.md");
        let rows: Vec<String> = ALL
            .iter()
            .map(|code| {
                format!(
                    "| `{}` | {} | `{}` | {} | {} | {} |",
                    code.word,
                    code.http_status().as_u16(),
                    code.kind.error_type(),
                    code.cause,
                    code.remedy,
                    code.retry.as_str()
                )
            })
            .collect();
        let listed: Vec<&str> = docs
            .lines()
            .filter(|line| line.starts_with("| `"))
            .collect();
        assert_eq!(listed, rows);
    }
}
