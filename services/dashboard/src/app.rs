//! The pages behind the door: what stands around them, and which there are. Each part is a file in `app/` with its own URLs, its
//! templates in `templates/app/`, its style and script in `static/app/`.

pub(crate) mod credits;
pub(crate) mod home;
pub(crate) mod keys;
pub(crate) mod named;
pub(crate) mod operator;
pub(crate) mod playground;
pub(crate) mod requests;
pub(crate) mod settings;
pub(crate) mod switch;
pub(crate) mod tasks;
pub(crate) mod usage;
pub(crate) mod webhooks;

use domain::Mode;

use crate::{
    Site, once,
    people::{Person, Role},
    router::Row,
    who::Member,
};

/// The URLs of all parts.
pub(crate) const ROUTES: [&[Row]; 11] = [
    home::ROUTES,
    switch::ROUTES,
    playground::ROUTES,
    keys::ROUTES,
    credits::ROUTES,
    usage::ROUTES,
    requests::ROUTES,
    tasks::ROUTES,
    webhooks::ROUTES,
    settings::ROUTES,
    operator::ROUTES,
];

/// What the navigation shows, in its order: path and name.
const PARTS: [(&str, &str); 9] = [
    ("/home", "Home"),
    ("/playground", "Playground"),
    ("/tasks", "Tasks"),
    ("/requests", "Requests"),
    ("/usage", "Usage"),
    ("/credits", "Credits"),
    ("/keys", "Keys"),
    ("/webhooks", "Webhooks"),
    ("/settings", "Settings"),
];

/// What the frame of a page behind the door is given: `templates/app.html`.
#[derive(Debug)]
pub(crate) struct Frame<'s> {
    pub(crate) title: String,
    /// The path of the part that the page belongs to: of [`PARTS`], or `/operator`.
    pub(crate) part: &'static str,
    pub(crate) person: &'s Person,
    /// What was just done, if something was: from [`Said`].
    pub(crate) said: Option<&'static str>,
    pub(crate) assets: &'s crate::assets::Assets,
}

// === impl Frame ===

impl<'s> Frame<'s> {
    /// The frame of a page.
    pub(crate) fn new<N>(
        site: &'s Site,
        member: &'s Member<N>,
        part: &'static str,
        title: impl Into<String>,
    ) -> Self {
        Self {
            title: title.into(),
            part,
            person: &member.person,
            said: None,
            assets: &site.texts.assets,
        }
    }

    /// The same behind a form that did something.
    pub(crate) fn saying(self, said: Option<&'static str>) -> Self {
        Self { said, ..self }
    }

    /// The navigation: path, name, and whether it is here.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&'static str, &'static str, bool)> {
        PARTS
            .into_iter()
            .map(|(path, name)| (path, name, path == self.part))
    }

    /// A word of its own for a form that makes something: see `once.rs`.
    pub(crate) fn once(&self) -> String {
        once::word()
    }

    /// Whether the balance that is looked at is the one of play money.
    pub(crate) fn is_test(&self) -> bool {
        self.person.view.mode == Mode::Test
    }

    /// Whether the reader may change things here.
    pub(crate) fn manages(&self) -> bool {
        self.person.view.role >= Role::Member
    }
}
