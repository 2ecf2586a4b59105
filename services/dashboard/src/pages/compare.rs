//! `/models/compare?m=…&m=…`: a few models side by side.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use http::Uri;

use super::texts::asked;
use crate::{
    Site,
    layout::{Frame, Part},
    now,
    page::Page,
    view::{View, category},
};

const ABOUT: &str = "Models side by side: prices, parameters, deadlines, webhooks, cancelling.";

/// What the page shows.
struct Compare<'s> {
    models: Vec<View<'s>>,
    /// Every parameter that one of them takes, and what each says of it.
    params: Vec<(String, Vec<String>)>,
    /// Every model, for the form: slug, name, category, whether it is chosen.
    offered: Vec<(&'s str, &'s str, &'static str, bool)>,
    /// What was left out, as it would have been too many, or is no model.
    left_out: Vec<String>,
    most: usize,
}

#[derive(Template)]
#[template(path = "compare.html")]
struct Html<'p, 's> {
    frame: Frame<'s>,
    page: &'p Compare<'s>,
}

#[derive(Template)]
#[template(path = "compare.md")]
struct Markdown<'p, 's> {
    page: &'p Compare<'s>,
}

/// The page.
pub(crate) async fn html(State(site): State<Arc<Site>>, uri: Uri) -> Page {
    let frame = Frame::new(&site, Part::Models, "Compare models", ABOUT);
    let query = uri.query().unwrap_or_default();
    let frame = frame.with_markdown(format!("/models/compare.md?{query}"));
    let page = &Compare::of(&site, &uri);
    Page::html(&Html { frame, page })
}

/// The same as Markdown.
pub(crate) async fn markdown(State(site): State<Arc<Site>>, uri: Uri) -> Page {
    let page = &Compare::of(&site, &uri);
    Page::markdown(&Markdown { page })
}

// === impl Compare ===

impl<'s> Compare<'s> {
    fn of(site: &'s Site, uri: &Uri) -> Self {
        let (at, most) = (now(), site.config.models.compared);
        let asked = asked(uri);
        let (mut models, mut left_out): (Vec<View<'s>>, Vec<String>) = (Vec::new(), Vec::new());
        for (_, name) in asked.iter().filter(|(key, _)| key == "m") {
            let found = site.model(name).or_else(|| site.catalogue.find(name));
            match found.map(|model| View::new(model, at)) {
                Some(view) if models.iter().any(|known| known.slug() == view.slug()) => {}
                Some(view) if models.len() < most => models.push(view),
                Some(_) | None => {
                    let shown = name.chars().take(site.config.models.search_characters);
                    left_out.push(shown.collect());
                }
            }
        }
        left_out.truncate(most);
        let is_chosen = |slug: &str| models.iter().any(|view| view.slug() == slug);
        let all = site.catalogue.models().iter();
        let offered = all.map(|model| {
            let slug = model.slug.as_str();
            let of = category(model.category).1;
            (slug, model.name.as_str(), of, is_chosen(slug))
        });
        Self {
            offered: offered.collect(),
            params: params(&models),
            models,
            left_out,
            most,
        }
    }
}

/// The parameters of all, in the order in which they come.
fn params(models: &[View<'_>]) -> Vec<(String, Vec<String>)> {
    let of_each: Vec<_> = models.iter().map(View::params).collect();
    let mut names: Vec<&str> = Vec::new();
    for row in of_each.iter().flatten() {
        if !names.contains(&row.name.as_str()) {
            names.push(&row.name);
        }
    }
    let said = |name: &str| {
        let of = |rows: &Vec<crate::view::ParamRow>| {
            let row = rows.iter().find(|row| row.name == name);
            row.map_or_else(
                || "–".to_owned(),
                |row| format!("{}: {}", row.kind, row.limits),
            )
        };
        of_each.iter().map(of).collect()
    };
    names
        .into_iter()
        .map(|name| (name.to_owned(), said(name)))
        .collect()
}
