//! Who asks, in the signature of whoever answers: a handler of a page behind the door cannot be called without.

use std::{marker::PhantomData, sync::Arc};

use axum::extract::FromRequestParts;
use http::{Method, StatusCode, request::Parts};
use proto::{common::v1 as wire, mode_to_wire};

use crate::{
    Site,
    people::{Person, Role, View},
    refused::Refused,
    session::{self, Session},
    store::session::Mac,
};

/// Somebody who is signed in and may look at the account: [`Reads`], use it: [`Manages`], say who else may: [`Owns`]; or an operator:
/// [`Operates`].
#[derive(Debug)]
pub(crate) struct Member<N = Reads> {
    pub(crate) person: Person,
    /// What the browser's session is known by.
    pub(crate) session: Mac,
    /// Of this request: for logs, and for whoever is asked for something.
    pub(crate) request_id: String,
    need: PhantomData<N>,
}

/// What somebody must be allowed.
pub(crate) trait Need: Send + Sync + 'static {
    /// Whether they are; else what to tell them.
    fn check(person: &Person) -> Result<(), &'static str>;
}

/// To look.
#[derive(Debug)]
pub(crate) enum Reads {}
/// To make keys, buy credit, set up webhooks.
#[derive(Debug)]
pub(crate) enum Manages {}
/// To say who else may.
#[derive(Debug)]
pub(crate) enum Owns {}
/// To see and do what operators do.
#[derive(Debug)]
pub(crate) enum Operates {}

/// A new id of a request, after the manner of the edge's.
pub(crate) fn request_id() -> String {
    let id = chassis::mint::<domain::ids::User>().to_string();
    id.replacen(<domain::ids::User as domain::ids::Kind>::PREFIX, "req", 1)
}

// === impl Need ===

impl Need for Reads {
    fn check(_: &Person) -> Result<(), &'static str> {
        Ok(())
    }
}

impl Need for Manages {
    fn check(person: &Person) -> Result<(), &'static str> {
        if person.view.role >= Role::Member {
            return Ok(());
        }
        Err("You may look at this account and not change it. Ask one of its owners.")
    }
}

impl Need for Owns {
    fn check(person: &Person) -> Result<(), &'static str> {
        if person.view.role == Role::Owner {
            return Ok(());
        }
        Err("Only owners of this account may do that. Ask one of them.")
    }
}

impl Need for Operates {
    fn check(person: &Person) -> Result<(), &'static str> {
        if person.operator {
            return Ok(());
        }
        Err("This is for the operators of this installation.")
    }
}

// === impl Member ===

impl<N> Member<N> {
    /// What they look at.
    pub(crate) fn view(&self) -> &View {
        &self.person.view
    }

    /// What other services are told about who asks.
    pub(crate) fn context(&self) -> wire::Context {
        let view = self.view();
        let scopes = view.role.scopes().iter();
        wire::Context {
            account_id: view.account.to_vec().into(),
            mode: mode_to_wire(view.mode).into(),
            scopes: scopes.map(|scope| scope.as_str().to_owned()).collect(),
            request_id: self.request_id.clone(),
            user_id: self.person.id.to_vec().into(),
            ..wire::Context::default()
        }
    }

    /// Who changes something for an operator: for the books and the audit log.
    pub(crate) fn by(&self) -> wire::Actor {
        wire::Actor {
            name: self.person.id.to_string(),
            request_id: self.request_id.clone(),
        }
    }

    fn of(session: Session) -> Self {
        Self {
            person: session.person,
            session: session.mac,
            request_id: request_id(),
            need: PhantomData,
        }
    }
}

impl<N: Need> FromRequestParts<Arc<Site>> for Member<N> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, site: &Arc<Site>) -> Result<Self, Refused> {
        let session = session::find(site, &parts.headers).await?;
        let Some(session) = session else {
            // A form whose reader was signed out meanwhile cannot be sent again by a link: back to the start.
            let back = match parts.method {
                Method::GET => parts
                    .uri
                    .path_and_query()
                    .map_or("/home", |path| path.as_str()),
                _ => "/home",
            };
            return Err(Refused::SignIn(back.to_owned()));
        };
        match N::check(&session.person) {
            Ok(()) => Ok(Self::of(session)),
            Err(told) => Err(Refused::new(StatusCode::FORBIDDEN, told)),
        }
    }
}
