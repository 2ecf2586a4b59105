//! The plain pages at the door: a sentence, and at most one form. What a link of an e-mail leads to is one of them: the link itself changes
//! nothing, since programs that look after mail follow links as well.

use askama::Template;
use serde::Deserialize;

use crate::{
    Site,
    layout::{Frame, Part},
    page::Page,
    refused::Refusal,
};

/// What is asked for beside the link's own secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Asks {
    /// Nothing.
    #[default]
    Nothing,
    Email,
    /// A new one.
    Password,
}

/// One of these pages.
#[derive(Debug, Default)]
pub(super) struct Plain<'s> {
    pub(super) title: &'s str,
    pub(super) about: &'s str,
    /// Where the form goes.
    pub(super) action: &'s str,
    pub(super) token: &'s str,
    pub(super) asks: Asks,
    /// What its button says; empty: there is no form.
    pub(super) button: &'s str,
    /// Where else to go: path and text.
    pub(super) links: &'s [(String, &'static str)],
}

/// What a link to such a page, or its form, says.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Said {
    pub(super) token: String,
    pub(super) email: String,
    pub(super) password: String,
}

#[derive(Template)]
#[template(path = "door.html")]
struct Html<'s> {
    frame: Frame<'s>,
    action: &'s str,
    token: &'s str,
    asks: Asks,
    button: &'s str,
    links: &'s [(String, &'static str)],
    wrong: Option<&'s Refusal>,
    least: usize,
}

// === impl Plain ===

impl Plain<'_> {
    /// The page.
    pub(super) fn page(&self, site: &Site, wrong: Option<&Refusal>) -> Page {
        Page::html(&Html {
            frame: Frame::new(site, Part::Start, self.title, self.about),
            action: self.action,
            token: self.token,
            asks: self.asks,
            button: self.button,
            links: self.links,
            wrong,
            least: site.config.password_characters,
        })
    }
}

// === impl Html ===

impl Html<'_> {
    fn asks_email(&self) -> bool {
        self.asks == Asks::Email
    }

    fn asks_password(&self) -> bool {
        self.asks == Asks::Password
    }
}
