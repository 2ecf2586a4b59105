//! What went wrong with a provider call, in the classes a caller acts on.
//!
//! The question that decides about money is whether the provider may have accepted the work: see
//! [`Failure::outcome_known`]. A failure never carries the URL, the request, or text of the provider other than the bounded
//! detail of [`Class::Invalid`] and [`Class::Moderated`], which is meant for the customer.

mod words;

use std::error::Error as StdError;
use std::fmt;
use std::time::{Duration, SystemTime};

use http::header::{HeaderMap, RETRY_AFTER};
use http::{HeaderName, StatusCode};

/// The classes of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The provider does not accept our credentials: our fault, an operator's alarm, another provider may serve.
    Auth,
    /// Our account at the provider is empty: as [`Class::Auth`].
    Balance,
    /// The provider asks us to slow down; nothing was accepted.
    RateLimited,
    /// The provider could not serve; nothing was accepted.
    Overloaded,
    /// The request is wrong: the customer's to mend, no other provider will do better.
    Invalid,
    /// The provider's content policy refused the request or its result.
    Moderated,
    /// The model or the thing asked for is not there.
    Gone,
    /// No answer that could be understood arrived after the request left: the work may have been accepted and paid.
    Unknown,
    /// The provider answered something outside its own protocol; the work may have been accepted and paid.
    Malformed,
    /// The request never left (name resolution, connection, TLS): nothing was accepted.
    NotSent,
}

/// What a timed-out call was waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The head of the answer.
    FirstByte,
    /// The next piece of the body.
    NextByte,
    /// The end of the whole call.
    End,
}

/// A provider's refusal as it came: anything but 2xx.
#[derive(Debug, Clone, Copy)]
pub struct ProviderAnswer<'a> {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers of the answer.
    pub headers: &'a HeaderMap,
    /// The beginning of the body, bounded by `max_error_bytes`.
    pub body: &'a [u8],
}

/// What an adapter reads out of its provider's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The class.
    pub class: Class,
    /// The provider's words for the customer; kept for [`Class::Invalid`] and [`Class::Moderated`] only.
    pub detail: Option<String>,
    /// The pause that its body asks for; that of the headers counts where there is none.
    pub retry_after: Option<Duration>,
}

/// The hook of an adapter: its own reading of a refusal, or `None` for the reading of the bare HTTP status.
pub type Classify = fn(&ProviderAnswer<'_>) -> Option<Verdict>;

/// One failed provider call.
pub struct Failure {
    class: Class,
    status: Option<StatusCode>,
    retry_after: Option<Duration>,
    detail: Option<Box<str>>,
    param: Option<Box<str>>,
    reason: &'static str,
    wait: Option<Wait>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The longest pause that is believed when a provider names one.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// The millisecond form of `Retry-After` that several providers send.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

// === impl Class ===

impl Class {
    /// A stable word for logs, metrics and stored attempts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Balance => "balance",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Invalid => "invalid",
            Self::Moderated => "moderated",
            Self::Gone => "gone",
            Self::Unknown => "unknown",
            Self::Malformed => "malformed",
            Self::NotSent => "not_sent",
        }
    }

    /// The class of an HTTP status when the adapter says nothing better.
    ///
    /// 502, 504 and the 52x of front proxies come from something between us and the provider, which may have accepted the
    /// work; 3xx means that the configured address answers something else than its API.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            401 | 403 | 407 => Self::Auth,
            402 => Self::Balance,
            404 | 410 => Self::Gone,
            408 | 409 | 425 => Self::Overloaded,
            429 => Self::RateLimited,
            451 => Self::Moderated,
            400..=499 => Self::Invalid,
            502 | 504 | 520..=527 => Self::Unknown,
            500..=599 => Self::Overloaded,
            _ => Self::Malformed,
        }
    }

    /// As [`Class::of_status`], for a submit that is paid once it is accepted: an answer that may come after the acceptance
    /// leaves the outcome unknown.
    #[must_use]
    pub fn of_submit_status(status: StatusCode) -> Self {
        match status.as_u16() {
            408 | 409 | 425 | 500 => Self::Unknown,
            _ => Self::of_status(status),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

// === impl Wait ===

impl Wait {
    fn reason(self) -> &'static str {
        match self {
            Self::FirstByte => "no answer in time",
            Self::NextByte => "the answer fell silent",
            Self::End => "the answer did not end in time",
        }
    }
}

// === impl Verdict ===

impl Verdict {
    /// A class without words.
    #[must_use]
    pub fn of(class: Class) -> Self {
        Self {
            class,
            detail: None,
            retry_after: None,
        }
    }

    /// A class with the provider's words.
    #[must_use]
    pub fn with_detail(class: Class, detail: impl Into<String>) -> Self {
        Self {
            class,
            detail: Some(detail.into()),
            retry_after: None,
        }
    }

    /// The same, asking for a pause.
    #[must_use]
    pub fn after(mut self, pause: Option<Duration>) -> Self {
        self.retry_after = pause;
        self
    }
}

// === impl Failure ===

impl Failure {
    /// The provider refused with a status other than 2xx.
    #[must_use]
    pub fn answered(
        answer: &ProviderAnswer<'_>,
        classify: impl Fn(&ProviderAnswer<'_>) -> Option<Verdict>,
    ) -> Self {
        Self::judged(answer, classify(answer), Class::of_status)
    }

    /// The provider refused a paid submit: where the adapter says nothing, see [`Class::of_submit_status`].
    #[must_use]
    pub fn answered_submit(
        answer: &ProviderAnswer<'_>,
        classify: impl Fn(&ProviderAnswer<'_>) -> Option<Verdict>,
    ) -> Self {
        Self::judged(answer, classify(answer), Class::of_submit_status)
    }

    /// The provider reported a failure inside an answer (a failed job, an error event in a stream).
    #[must_use]
    pub fn reported(verdict: Verdict) -> Self {
        let mut failure = Self::new(verdict.class, "the provider refused");
        if matches!(verdict.class, Class::Invalid | Class::Moderated) {
            failure.detail = verdict.detail.as_deref().and_then(words::theirs);
        }
        failure.retry_after = verdict.retry_after.map(|pause| pause.min(MAX_RETRY_AFTER));
        failure
    }

    /// The provider was not asked: it has no words for a parameter of the request. `message` is for the customer.
    #[must_use]
    pub fn unsupported(param: &str, message: &str) -> Self {
        let mut failure = Self::new(Class::Invalid, "the provider cannot be asked this");
        failure.detail = words::line(message);
        failure.param = words::line(param);
        failure
    }

    /// The request could not be written down.
    #[must_use]
    pub fn unsendable(error: http::uri::InvalidUri) -> Self {
        Self::new(Class::NotSent, "the request could not be built").caused_by(error)
    }

    /// Sending failed: before anybody looked at the request, if the connection was never made or the other side says so, else with
    /// unknown outcome.
    #[must_use]
    pub fn sending(error: hyper_util::client::legacy::Error) -> Self {
        let failure = if error.is_connect() {
            Self::new(Class::NotSent, "no connection")
        } else if was_not_looked_at(&error) {
            Self::new(Class::NotSent, "the connection was being closed")
        } else {
            Self::new(Class::Unknown, "the connection broke before the answer")
        };
        failure.caused_by(error)
    }

    /// The body of a 2xx answer broke off.
    #[must_use]
    pub fn receiving(error: hyper::Error) -> Self {
        Self::new(Class::Unknown, "the connection broke inside the answer").caused_by(error)
    }

    /// A limit of time passed after the request left.
    #[must_use]
    pub fn timed_out(wait: Wait) -> Self {
        let mut failure = Self::new(Class::Unknown, wait.reason());
        failure.wait = Some(wait);
        failure
    }

    /// Nobody was asked, because all who could be have failed lately: the first of them is asked again after `wait`.
    #[must_use]
    pub fn left_alone(wait: Duration) -> Self {
        let mut failure = Self::new(Class::NotSent, "all providers are left alone for a while");
        failure.retry_after = Some(wait);
        failure
    }

    /// The answer is outside the provider's protocol; `reason` says how, without quoting it.
    #[must_use]
    pub fn malformed(reason: &'static str) -> Self {
        Self::new(Class::Malformed, reason)
    }

    /// The same failure with its cause, for the operator's log.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What a caller acts on.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// The HTTP status of a refusal.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// The pause the provider asked for, at most an hour; or the one that we make ourselves: see [`Failure::left_alone`].
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The provider's words for the customer: at most 300 characters in one line, for [`Class::Invalid`] and [`Class::Moderated`] only.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The customer's parameter at fault, where we know it.
    #[must_use]
    pub fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// What happened, in fixed words of ours.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// What the call was waiting for when its time was up.
    #[must_use]
    pub fn wait(&self) -> Option<Wait> {
        self.wait
    }

    /// Whether it is certain that the provider did not accept the work, so that nothing was paid. If not, a paid call must
    /// not be made again blindly.
    #[must_use]
    pub fn outcome_known(&self) -> bool {
        !matches!(self.class, Class::Unknown | Class::Malformed)
    }

    /// Whether the same call to the same provider is safe to repeat, and may succeed, after a pause.
    #[must_use]
    pub fn retryable(&self) -> bool {
        matches!(
            self.class,
            Class::RateLimited | Class::Overloaded | Class::NotSent
        )
    }

    /// Whether another provider may be asked at once: nothing was accepted, and the request itself is not at fault, or only for
    /// this provider. Chat asks another one also when no first byte came in time, which may cost us a second generation, and the
    /// customer nothing.
    #[must_use]
    pub fn another_may_serve(&self) -> bool {
        self.retryable()
            || matches!(self.class, Class::Auth | Class::Balance | Class::Gone)
            || self.param.is_some()
    }

    /// The adapter's verdict, else that of the status.
    fn judged(
        answer: &ProviderAnswer<'_>,
        verdict: Option<Verdict>,
        by_status: fn(StatusCode) -> Class,
    ) -> Self {
        let verdict = verdict.unwrap_or_else(|| Verdict::of(by_status(answer.status)));
        let mut failure = Self::reported(verdict);
        failure.status = Some(answer.status);
        failure.retry_after = failure.retry_after.or_else(|| retry_after(answer.headers));
        failure
    }

    fn new(class: Class, reason: &'static str) -> Self {
        Self {
            class,
            status: None,
            retry_after: None,
            detail: None,
            param: None,
            reason,
            wait: None,
            source: None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "provider call failed ({}): {}",
            self.class, self.reason
        )?;
        match self.status {
            Some(status) => write!(out, ", status {}", status.as_u16()),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Failure")
            .field("class", &self.class)
            .field("status", &self.status)
            .field("retry_after", &self.retry_after)
            .field("reason", &self.reason)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        }
    }
}

/// Whether the other side says that it has not looked at a request: HTTP/2's word for a connection that is being closed, or a stream too
/// many (RFC 9113, 6.8 and 8.7).
fn was_not_looked_at(error: &hyper_util::client::legacy::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(h2) = cause.downcast_ref::<h2::Error>() {
            let reason = h2.reason();
            let goes = h2.is_go_away() && reason == Some(h2::Reason::NO_ERROR);
            let refuses = h2.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM);
            return h2.is_remote() && (goes || refuses);
        }
        source = cause.source();
    }
    false
}

/// The pause asked for: milliseconds, seconds, or a date.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let pause = if let Some(millis) = text(&RETRY_AFTER_MS).and_then(|t| t.parse().ok()) {
        Duration::from_millis(millis)
    } else {
        let value = text(&RETRY_AFTER)?.trim();
        match value.parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => httpdate::parse_http_date(value)
                .ok()?
                .duration_since(SystemTime::now())
                .unwrap_or(Duration::ZERO),
        }
    };
    Some(pause.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests;
