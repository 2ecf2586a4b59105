//! The one table from a kind of failure to a gRPC code and an HTTP status, and the failure that may leave the house.

use std::{fmt, time::Duration};

use domain::{Problem, ProblemKind, catalogue::Unserved};
use prost::Message as _;

use crate::{Code, common::v1 as wire};

/// So many violations travel between services.
const MAX_VIOLATIONS: usize = 32;
/// How long to wait for a service that cannot be reached: replicas are found again within that time.
const PEER_AWAY: Duration = Duration::from_secs(1);

/// What a caller can do about a failure: the words of the wire. A new kind needs a caller that acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request cannot be understood, or asks for something that is not possible.
    BadRequest,
    /// Nobody we know sent this.
    Authentication,
    /// The account cannot pay for this.
    InsufficientCredits,
    /// We know who sent this, and they may not.
    Permission,
    /// There is no such thing, or not for this caller.
    NotFound,
    /// It clashes with something that already happened.
    Conflict,
    /// More bytes than we take.
    PayloadTooLarge,
    /// Understood, but contradicts an earlier request.
    Unprocessable,
    /// Too much, too fast.
    RateLimit,
    /// We are wrong.
    Internal,
    /// A provider failed us.
    Upstream,
    /// We cannot take this now; try again.
    Unavailable,
    /// It took too long.
    Timeout,
}

/// One thing wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field, as the customer wrote its path.
    pub param: String,
    /// The problem and what is allowed.
    pub message: String,
}

/// A failure that may leave the house: every text in it is public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The published code; it decides the kind.
    pub code: Code,
    /// One friendly, exact sentence.
    pub message: String,
    /// The field at fault, if one is.
    pub param: Option<String>,
    /// Everything wrong, when more than one thing is.
    pub violations: Vec<Violation>,
    /// How long to wait before trying again.
    pub retry_after: Option<Duration>,
}

// === impl Kind ===

impl Kind {
    /// Every kind, in the order of the statuses in `docs/errors.md`.
    pub const ALL: [Self; 13] = [
        Self::BadRequest,
        Self::Authentication,
        Self::InsufficientCredits,
        Self::Permission,
        Self::NotFound,
        Self::Conflict,
        Self::PayloadTooLarge,
        Self::Unprocessable,
        Self::RateLimit,
        Self::Internal,
        Self::Upstream,
        Self::Unavailable,
        Self::Timeout,
    ];

    /// The row of the table: error type, HTTP status, gRPC code.
    const fn row(self) -> (&'static str, http::StatusCode, tonic::Code) {
        use http::StatusCode as Http;
        use tonic::Code as Grpc;
        match self {
            Self::BadRequest => ("bad_request", Http::BAD_REQUEST, Grpc::InvalidArgument),
            Self::Authentication => (
                "authentication_error",
                Http::UNAUTHORIZED,
                Grpc::Unauthenticated,
            ),
            Self::InsufficientCredits => (
                "insufficient_credits",
                Http::PAYMENT_REQUIRED,
                Grpc::FailedPrecondition,
            ),
            Self::Permission => ("permission_error", Http::FORBIDDEN, Grpc::PermissionDenied),
            Self::NotFound => ("not_found", Http::NOT_FOUND, Grpc::NotFound),
            Self::Conflict => ("conflict", Http::CONFLICT, Grpc::AlreadyExists),
            Self::PayloadTooLarge => (
                "payload_too_large",
                Http::PAYLOAD_TOO_LARGE,
                Grpc::OutOfRange,
            ),
            Self::Unprocessable => ("unprocessable", Http::UNPROCESSABLE_ENTITY, Grpc::DataLoss),
            Self::RateLimit => (
                "rate_limit_error",
                Http::TOO_MANY_REQUESTS,
                Grpc::ResourceExhausted,
            ),
            Self::Internal => (
                "internal_error",
                Http::INTERNAL_SERVER_ERROR,
                Grpc::Internal,
            ),
            Self::Upstream => ("upstream_error", Http::BAD_GATEWAY, Grpc::Aborted),
            Self::Unavailable => ("unavailable", Http::SERVICE_UNAVAILABLE, Grpc::Unavailable),
            Self::Timeout => ("timeout", Http::GATEWAY_TIMEOUT, Grpc::DeadlineExceeded),
        }
    }

    /// The `type` of an error object.
    pub const fn error_type(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status of this kind.
    pub const fn http_status(self) -> http::StatusCode {
        self.row().1
    }

    const fn grpc(self) -> tonic::Code {
        self.row().2
    }

    fn from_grpc(code: tonic::Code) -> Self {
        Self::ALL
            .into_iter()
            .find(|kind| kind.grpc() == code)
            .unwrap_or(Self::Internal)
    }
}

// === impl Code ===

impl Code {
    /// The HTTP status a customer gets: the kind's, but for a wrong method, which HTTP gives a status of its own.
    pub fn http_status(self) -> http::StatusCode {
        if self == crate::code::METHOD_NOT_ALLOWED {
            http::StatusCode::METHOD_NOT_ALLOWED
        } else {
            self.kind.http_status()
        }
    }
}

// === impl Fault ===

impl Fault {
    /// A failure with its published code and one sentence for the reader.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            param: None,
            violations: Vec::new(),
            retry_after: None,
        }
    }

    /// A failure about which nothing better is known than its code: the message is the code's published cause.
    pub fn of(code: Code) -> Self {
        Self::new(code, code.cause)
    }

    /// Names the field at fault.
    #[must_use]
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Several things are wrong at once: the first becomes the message, all are listed.
    pub fn from_violations(code: Code, violations: Vec<Violation>) -> Self {
        let first = violations.first().cloned().unwrap_or_else(|| Violation {
            param: String::new(),
            message: "the request is not valid".to_owned(),
        });
        let listed = if violations.len() > 1 {
            violations
        } else {
            Vec::new()
        };
        Self {
            violations: listed,
            ..Self::new(code, first.message).param(first.param)
        }
    }

    /// A request whose parameters are wrong. The first problem gives the code.
    pub fn from_problems(problems: Vec<Problem>) -> Self {
        let code = match problems.first().map(|problem| problem.kind) {
            Some(ProblemKind::Missing) => crate::code::MISSING_PARAMETER,
            Some(ProblemKind::Unknown) => crate::code::UNKNOWN_PARAMETER,
            Some(ProblemKind::Invalid) | None => crate::code::INVALID_PARAMETER,
        };
        let violations = problems.into_iter().map(|problem| Violation {
            param: problem.param,
            message: problem.message,
        });
        Self::from_violations(code, violations.collect())
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        self.code.kind
    }

    /// As an event of a stream that has already begun.
    pub fn to_wire(&self) -> wire::Fault {
        wire::Fault {
            code: self.code.word.to_owned(),
            message: self.message.clone(),
            param: self.param.clone().unwrap_or_default(),
            violations: self
                .violations
                .iter()
                .map(|v| wire::Violation {
                    param: v.param.clone(),
                    message: v.message.clone(),
                })
                .collect(),
            retry_after_ms: self
                .retry_after
                .and_then(|wait| u64::try_from(wait.as_millis()).ok())
                .unwrap_or(0),
        }
    }

    /// Reads a fault off the wire; `fallback` stands in for a code this version does not know.
    pub fn from_wire(fault: wire::Fault, fallback: Code) -> Self {
        Self {
            code: Code::find(&fault.code).unwrap_or(fallback),
            message: fault.message,
            param: Some(fault.param).filter(|param| !param.is_empty()),
            violations: fault
                .violations
                .into_iter()
                .map(|v| Violation {
                    param: v.param,
                    message: v.message,
                })
                .collect(),
            retry_after: Some(fault.retry_after_ms)
                .filter(|ms| *ms > 0)
                .map(Duration::from_millis),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.word, self.message)
    }
}

impl std::error::Error for Fault {}

impl From<Unserved> for Fault {
    fn from(unserved: Unserved) -> Self {
        let code = match &unserved {
            Unserved::Unknown { .. } | Unserved::Elsewhere { .. } => crate::code::UNKNOWN_MODEL,
            Unserved::NotAllowed { .. } => crate::code::MODEL_NOT_ALLOWED,
        };
        Self::new(code, unserved.to_string()).param("model")
    }
}

impl From<Fault> for tonic::Status {
    /// Whoever refuses many things names the first of them: what is said travels in a header, whose length the other side bounds for the
    /// whole connection.
    fn from(mut fault: Fault) -> Self {
        fault.violations.truncate(MAX_VIOLATIONS);
        let details = fault.to_wire().encode_to_vec();
        Self::with_details(fault.kind().grpc(), fault.message, details.into())
    }
}

impl From<tonic::Status> for Fault {
    /// A status that carries no fault of ours came from the transport: its text stays inside. That a service is full, or does
    /// not let another one in, is nothing a customer did: to them a part of the platform is away.
    fn from(status: tonic::Status) -> Self {
        let fallback = match Kind::from_grpc(status.code()) {
            Kind::Unavailable | Kind::Authentication | Kind::Permission | Kind::RateLimit => {
                crate::code::SERVICE_UNAVAILABLE
            }
            Kind::Timeout => crate::code::TIMEOUT,
            Kind::BadRequest
            | Kind::InsufficientCredits
            | Kind::NotFound
            | Kind::Conflict
            | Kind::PayloadTooLarge
            | Kind::Unprocessable
            | Kind::Internal
            | Kind::Upstream => crate::code::INTERNAL,
        };
        match wire::Fault::decode(status.details()) {
            Ok(fault) if !fault.code.is_empty() => Self::from_wire(fault, fallback),
            Ok(_) | Err(_) if fallback.kind == Kind::Unavailable => {
                Self::of(fallback).retry_after(PEER_AWAY)
            }
            Ok(_) | Err(_) => Self::of(fallback),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code;

    #[test]
    fn no_two_kinds_share_a_row() {
        for a in Kind::ALL {
            for b in Kind::ALL {
                let same = a == b;
                assert_eq!(a.error_type() == b.error_type(), same);
                assert_eq!(a.http_status() == b.http_status(), same);
                assert_eq!(a.grpc() == b.grpc(), same);
                assert_eq!(Kind::from_grpc(a.grpc()) == b, same);
            }
        }
    }

    #[test]
    fn a_fault_survives_the_wire() {
        let fault = Fault::from_violations(
            code::INVALID_PARAMETER,
            vec![
                Violation {
                    param: "prompt".into(),
                    message: "prompt is required".into(),
                },
                Violation {
                    param: "type".into(),
                    message: "type must be pro or flex".into(),
                },
            ],
        )
        .retry_after(Duration::from_secs(3));
        let status = tonic::Status::from(fault.clone());
        assert_eq!(Fault::from(status), fault);
    }

    #[test]
    fn the_first_problem_gives_the_code() {
        let fault = Fault::from_problems(vec![Problem::missing("prompt")]);
        assert_eq!(fault.code, code::MISSING_PARAMETER);
        assert_eq!(fault.param.as_deref(), Some("prompt"));
        assert!(fault.violations.is_empty());
        let two = vec![
            Problem::invalid("type", "be pro or flex"),
            Problem::missing("prompt"),
        ];
        let fault = Fault::from_problems(two);
        assert_eq!(fault.code, code::INVALID_PARAMETER);
        assert_eq!(fault.violations.len(), 2);
    }

    #[test]
    fn a_model_that_is_not_served_has_its_code() {
        let catalogue = domain::Catalogue::built_in().unwrap();
        for (name, allowed, code) in [
            ("flux-9", "flux-2", code::UNKNOWN_MODEL),
            ("gemini", "flux-2", code::UNKNOWN_MODEL),
            ("flux-2", "gemini", code::MODEL_NOT_ALLOWED),
        ] {
            let allowed = [allowed.to_owned()];
            let chosen = catalogue.choose("images/generations", name, &allowed);
            let fault = Fault::from(chosen.unwrap_err());
            assert_eq!((fault.code, fault.param.as_deref()), (code, Some("model")));
        }
    }

    #[test]
    fn a_foreign_status_keeps_its_text_inside() {
        let fault = Fault::from(tonic::Status::internal("connection to 10.1.2.3 lost"));
        assert_eq!(fault.kind(), Kind::Internal);
        assert!(!fault.message.contains("10.1.2.3"));
    }

    #[test]
    fn what_services_refuse_each_other_is_not_the_customers_fault() {
        for code in [
            tonic::Code::Unavailable,
            tonic::Code::Unauthenticated,
            tonic::Code::PermissionDenied,
            tonic::Code::ResourceExhausted,
        ] {
            let fault = Fault::from(tonic::Status::new(code, "a service's token is needed"));
            assert_eq!(fault.code, code::SERVICE_UNAVAILABLE);
            assert_eq!(fault.retry_after, Some(Duration::from_secs(1)));
            assert!(!fault.message.contains("token"));
        }
    }
}
