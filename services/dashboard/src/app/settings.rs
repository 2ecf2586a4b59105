//! `/settings`: the person, the account, who else may use it, and what was done.

mod account;
mod delete;
mod export;
mod log;
mod members;
mod passkeys;
mod you;

use axum::{
    response::{IntoResponse as _, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;

use crate::{refused::Refusal, router::Row};

/// Its URLs. Those below `/settings/you` are for everybody, whatever they may do in the account.
pub(crate) const ROUTES: &[Row] = &[
    ("/settings", || get(you::page)),
    ("/settings/you/name", || post(you::rename)),
    ("/settings/you/email", || post(you::readdress)),
    ("/settings/you/confirm", || post(you::confirm)),
    ("/settings/you/password", || post(you::set_password)),
    ("/settings/you/sessions", || post(you::end_sessions)),
    ("/settings/you/passkeys", || post(passkeys::add)),
    ("/settings/you/passkeys/begin", || post(passkeys::begin)),
    ("/settings/you/passkeys/remove", || post(passkeys::remove)),
    ("/settings/you/account", || post(account::switch)),
    ("/settings/members", || get(members::page)),
    ("/settings/members/invite", || post(members::invite)),
    ("/settings/members/uninvite", || post(members::uninvite)),
    ("/settings/members/role", || post(members::set_role)),
    ("/settings/members/remove", || post(members::remove)),
    ("/settings/members/leave", || post(members::leave)),
    ("/settings/account", || get(account::page)),
    ("/settings/account/name", || post(account::rename)),
    ("/settings/account/alert", || post(account::set_alert)),
    ("/settings/account/export", || get(export::export)),
    ("/settings/account/delete", || post(delete::delete)),
    ("/settings/log", || get(log::page)),
];

/// The part of the navigation.
const PART: &str = "/settings";

/// What was done, as a link says it and as it is told.
const SAID: &[(&str, &str)] = &[
    ("name", "The name is changed."),
    ("email", "The address is changed."),
    ("sent", "A link is on its way to your address."),
    ("confirmed", "The address is confirmed."),
    (
        "password",
        "The password is changed, and every other browser is signed out.",
    ),
    ("sessions", "The session is ended."),
    ("others", "Every other browser is signed out."),
    ("passkey", "The passkey is added."),
    ("no-passkey", "The passkey is removed."),
    ("uninvited", "The invitation is taken back."),
    ("role", "The role is changed."),
    ("removed", "They may use this account no more."),
    ("account", "You look at another account now."),
    ("alert", "The alert is set."),
    ("quiet", "Nobody is told when the balance is low."),
    (
        "operator",
        "You are signed in as an operator. Set an address and a password below, to come in without a link.",
    ),
];

/// What a link to these pages says of what was done.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Query {
    said: String,
}

/// What is wrong with one of the forms of a page.
#[derive(Debug)]
struct Wrong {
    /// Which one.
    form: &'static str,
    refusal: Refusal,
}

fn said(word: &str) -> Option<&'static str> {
    let found = SAID.iter().find(|(known, _)| *known == word);
    found.map(|(_, told)| *told)
}

/// Where a form leads to that did something.
fn done(path: &str, word: &str) -> Response {
    Redirect::to(&format!("{path}?said={word}")).into_response()
}

/// What is told beside one form, if it is the one.
fn told<'w>(wrong: Option<&'w Wrong>, form: &str) -> Option<&'w str> {
    let own = wrong.filter(|wrong| wrong.form == form);
    own.map(|wrong| wrong.refusal.message.as_str())
}

/// An answer with the status of what is wrong.
fn answered(page: crate::page::Page, wrong: Option<&Wrong>) -> Response {
    match wrong {
        Some(wrong) => wrong.refusal.on(page),
        None => page.into_response(),
    }
}
