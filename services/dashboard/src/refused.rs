//! Why a page is not shown, as a page: what another service refused, by the table of faults, or what failed here.

use std::{sync::Arc, time::Duration};

use askama::Template;
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use chassis::telemetry::causes;
use http::{StatusCode, header};
use proto::{Fault, Kind, Violation, WireError};
use tracing::error;

use crate::{
    Site,
    error::Error,
    layout::{Frame, Part},
    page::Page,
};

/// What a handler of a page that is behind the door answers.
pub(crate) type Answer = Result<Response, Refused>;

/// Why there is no page.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Nobody is signed in: where to come back to.
    SignIn(String),
    /// Something was refused, by us or by another service. Boxed, because it travels through many results that are mostly good.
    Told(Box<Refusal>),
}

/// What was refused, for a page of its own or for a form that says so beside its fields. Also what a refusal is on its way through the
/// layer that knows how pages look ([`dressed`]).
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// One friendly, exact sentence.
    pub(crate) message: String,
    /// The field at fault, if one is.
    pub(crate) param: Option<String>,
    /// Everything wrong, when more than one thing is.
    pub(crate) violations: Vec<Violation>,
    /// How long to wait before trying again.
    pub(crate) retry_after: Option<Duration>,
}

#[derive(Template)]
#[template(path = "lost.html")]
struct Html<'s> {
    frame: Frame<'s>,
    status: u16,
    told: &'s str,
}

// === impl Refused ===

impl Refused {
    /// A refusal of ours: a status, and one sentence for the reader.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self::Told(Box::new(Refusal {
            status,
            message: message.into(),
            param: None,
            violations: Vec::new(),
            retry_after: None,
        }))
    }

    /// The same of one field.
    pub(crate) fn of(mut self, param: &str) -> Self {
        if let Self::Told(refusal) = &mut self {
            refusal.param = Some(param.to_owned());
        }
        self
    }

    /// The same of several.
    pub(crate) fn all(mut self, violations: Vec<Violation>) -> Self {
        if let Self::Told(refusal) = &mut self {
            refusal.violations = violations;
        }
        self
    }

    /// Whatever is not there, or is another's.
    pub(crate) fn not_found() -> Self {
        let told = "It may have gone, or belong to another account or to the other mode.";
        Self::new(StatusCode::NOT_FOUND, told)
    }

    /// Too many came, or this one came too often.
    pub(crate) fn later(retry_after: Duration) -> Self {
        let seconds = retry_after.as_secs().saturating_add(1);
        let wait = match seconds {
            0..=90 => format!("{seconds} seconds"),
            91..=5_400 => format!("{} minutes", seconds.div_ceil(60)),
            _ => format!("{} hours", seconds.div_ceil(3_600)),
        };
        let told = format!("That was tried too often. Please try again in {wait}.");
        let mut refused = Self::new(StatusCode::TOO_MANY_REQUESTS, told);
        if let Self::Told(refusal) = &mut refused {
            refusal.retry_after = Some(Duration::from_secs(seconds));
        }
        refused
    }

    /// What another service refused, where every way of not finding something is the same.
    pub(crate) fn unknown_alike(status: tonic::Status) -> Self {
        let fault = Fault::from(status);
        if fault.kind() == Kind::NotFound {
            return Self::not_found();
        }
        fault.into()
    }

    /// Something of ours does not hold together.
    pub(crate) fn internal() -> Self {
        let told = "We are at fault, and it has been logged. Please try again.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, told)
    }

    /// Whether it is this status.
    pub(crate) fn is(&self, status: StatusCode) -> bool {
        matches!(self, Self::Told(refusal) if refusal.status == status)
    }

    /// What was refused, for a form that says so beside its fields.
    ///
    /// # Errors
    /// When it is not the form's: nobody is signed in, or we failed.
    pub(crate) fn told(self) -> Result<Refusal, Self> {
        match self {
            Self::Told(refusal) if refusal.status.is_client_error() => Ok(*refusal),
            other @ (Self::SignIn(_) | Self::Told(_)) => Err(other),
        }
    }
}

// === impl Refusal ===

impl Refusal {
    /// An answer that says so, with how long to wait.
    pub(crate) fn on(&self, page: impl IntoResponse) -> Response {
        let mut response = page.into_response();
        *response.status_mut() = self.status;
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs().max(1);
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Told(Box::new(Refusal {
            status: fault.code.http_status(),
            message: fault.message,
            param: fault.param,
            violations: fault.violations,
            retry_after: fault.retry_after,
        }))
    }
}

impl From<tonic::Status> for Refused {
    fn from(status: tonic::Status) -> Self {
        Fault::from(status).into()
    }
}

impl From<WireError> for Refused {
    fn from(error: WireError) -> Self {
        error!(%error, "another service sent what it should not");
        Self::internal()
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        error!(error = %causes(&error), "a page cannot be made");
        Self::internal()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::SignIn(back) => {
                let query = form_urlencoded::Serializer::new(String::new())
                    .append_pair("next", &back)
                    .finish();
                Redirect::to(&format!("/sign-in?{query}")).into_response()
            }
            Self::Told(refusal) => {
                let mut response = refusal.on(refusal.status.into_response());
                response.extensions_mut().insert(*refusal);
                response
            }
        }
    }
}

/// The layer: makes a page of a refusal.
pub(crate) async fn dressed(
    State(site): State<Arc<Site>>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    let Some(refusal) = response.extensions().get::<Refusal>() else {
        return response;
    };
    let title = match refusal.status {
        StatusCode::NOT_FOUND => "There is no such page",
        StatusCode::FORBIDDEN => "This is not yours to do",
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            "This is not there at the moment"
        }
        _ => "That did not work",
    };
    let page = Html {
        frame: Frame::new(&site, Part::Start, title, title),
        status: refusal.status.as_u16(),
        told: &refusal.message,
    };
    refusal.on(Page::html(&page))
}
