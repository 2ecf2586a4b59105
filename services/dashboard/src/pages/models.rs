//! `/models`: every model, or those of a category, or those that a search finds.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use http::Uri;

use super::texts::{asked, one};
use crate::{
    Site,
    layout::{Frame, Part},
    now,
    page::Page,
    view::{CATEGORIES, View},
};

const ABOUT: &str = "Every model with its parameters, limits and prices: filter, search, compare.";

/// What the page shows.
struct Models<'s> {
    search: String,
    category: String,
    shown: Vec<View<'s>>,
    count: usize,
    /// Word, name, how many.
    categories: Vec<(&'static str, &'static str, usize)>,
    most_compared: usize,
}

#[derive(Template)]
#[template(path = "models.html")]
struct Html<'p, 's> {
    frame: Frame<'s>,
    page: &'p Models<'s>,
}

#[derive(Template)]
#[template(path = "models.md")]
struct Markdown<'p, 's> {
    page: &'p Models<'s>,
}

/// The page.
pub(crate) async fn html(State(site): State<Arc<Site>>, uri: Uri) -> Page {
    let frame = Frame::new(&site, Part::Models, "Models", ABOUT);
    let markdown = uri.query().map(|query| format!("/models.md?{query}"));
    let frame = frame.with_markdown(markdown.unwrap_or_else(|| "/models.md".to_owned()));
    let page = &Models::of(&site, &uri);
    Page::html(&Html { frame, page })
}

/// The same as Markdown.
pub(crate) async fn markdown(State(site): State<Arc<Site>>, uri: Uri) -> Page {
    let page = &Models::of(&site, &uri);
    Page::markdown(&Markdown { page })
}

// === impl Models ===

impl<'s> Models<'s> {
    fn of(site: &'s Site, uri: &Uri) -> Self {
        let asked = asked(uri);
        let search = one(&asked, "q").chars();
        let search: String = search.take(site.config.models.search_characters).collect();
        let category = one(&asked, "category").to_owned();
        let at = now();
        let all = site.catalogue.models();
        let all: Vec<View<'s>> = all.iter().map(|model| View::new(model, at)).collect();
        let count = |word: &str| all.iter().filter(|view| view.category() == word).count();
        let categories = CATEGORIES
            .into_iter()
            .map(|(_, word, name)| (word, name, count(word)));
        let is_shown = |view: &&View<'s>| {
            (category.is_empty() || view.category() == category) && view.is_found_by(&search)
        };
        Self {
            shown: all.iter().filter(is_shown).copied().collect(),
            categories: categories.filter(|(.., count)| *count > 0).collect(),
            count: all.len(),
            most_compared: site.config.models.compared,
            search,
            category,
        }
    }

    /// What this page is called: by its category, if it shows one.
    fn title(&self) -> &'static str {
        let mut all = self.categories.iter();
        let found = all.find(|(word, ..)| *word == self.category);
        found.map_or("Models", |(_, name, _)| name)
    }
}
