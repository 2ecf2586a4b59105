//! `/`: what this is, for whoever comes by.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;

use crate::{
    Site,
    layout::{Frame, Part},
    now,
    page::Page,
    view::{CATEGORIES, View},
};

const TITLE: &str = "API in One: every generative model, one key, one balance";
const ABOUT: &str = "Chat, images, video, music, speech and tools of many providers behind one HTTP API with one prepaid balance. \
                     Only what was delivered is charged.";

/// What the page shows.
struct Landing<'s> {
    base_url: String,
    count: usize,
    groups: Vec<Group<'s>>,
}

/// The models of a category.
struct Group<'s> {
    word: &'static str,
    name: &'static str,
    models: Vec<View<'s>>,
}

#[derive(Template)]
#[template(path = "landing.html")]
struct Html<'p, 's> {
    frame: Frame<'s>,
    page: &'p Landing<'s>,
}

#[derive(Template)]
#[template(path = "landing.md")]
struct Markdown<'p, 's> {
    page: &'p Landing<'s>,
}

/// The page.
pub(crate) async fn html(State(site): State<Arc<Site>>) -> Page {
    let frame = Frame::new(&site, Part::Start, TITLE, ABOUT).with_markdown("/index.md");
    let page = &Landing::of(&site);
    Page::html(&Html { frame, page })
}

/// The same as Markdown.
pub(crate) async fn markdown(State(site): State<Arc<Site>>) -> Page {
    let page = &Landing::of(&site);
    Page::markdown(&Markdown { page })
}

// === impl Landing ===

impl<'s> Landing<'s> {
    fn of(site: &'s Site) -> Self {
        let (models, at) = (site.catalogue.models(), now());
        let group = |(of, word, name)| {
            let own = models.iter().filter(|model| model.category == of);
            Group {
                word,
                name,
                models: own.map(|model| View::new(model, at)).collect(),
            }
        };
        let groups = CATEGORIES.into_iter().map(group);
        Self {
            base_url: site.base_url(),
            count: models.len(),
            groups: groups.filter(|group| !group.models.is_empty()).collect(),
        }
    }
}
