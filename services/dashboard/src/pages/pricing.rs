//! `/pricing`: what every model costs.

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

const ABOUT: &str = "The price of every model, row by row, as the program charges it.";

/// What the page shows.
struct Pricing<'s> {
    version: &'s str,
    /// Word, name, models.
    groups: Vec<(&'static str, &'static str, Vec<View<'s>>)>,
}

#[derive(Template)]
#[template(path = "pricing.html")]
struct Html<'p, 's> {
    frame: Frame<'s>,
    page: &'p Pricing<'s>,
}

#[derive(Template)]
#[template(path = "pricing.md")]
struct Markdown<'p, 's> {
    page: &'p Pricing<'s>,
}

/// The page.
pub(crate) async fn html(State(site): State<Arc<Site>>) -> Page {
    let frame = Frame::new(&site, Part::Pricing, "Prices", ABOUT).with_markdown("/pricing.md");
    let page = &Pricing::of(&site);
    Page::html(&Html { frame, page })
}

/// The same as Markdown.
pub(crate) async fn markdown(State(site): State<Arc<Site>>) -> Page {
    let page = &Pricing::of(&site);
    Page::markdown(&Markdown { page })
}

// === impl Pricing ===

impl<'s> Pricing<'s> {
    fn of(site: &'s Site) -> Self {
        let (models, at) = (site.catalogue.models(), now());
        let group = |(of, word, name)| {
            let own = models.iter().filter(|model| model.category == of);
            let views: Vec<_> = own.map(|model| View::new(model, at)).collect();
            (word, name, views)
        };
        let groups = CATEGORIES.into_iter().map(group);
        Self {
            version: site.catalogue.version(),
            groups: groups.filter(|(.., views)| !views.is_empty()).collect(),
        }
    }
}
