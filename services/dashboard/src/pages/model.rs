//! `/models/{slug}`: everything about one model.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{
    extract::{Path, State},
    response::{IntoResponse as _, Redirect, Response},
};
use domain::catalogue::Model;
use http::Uri;

use super::{lost, texts::asked};
use crate::{
    Site,
    calculator::Calculator,
    examples::{self, Example},
    layout::{Frame, Part},
    now,
    page::{Form, Page},
    view::{View, credits},
};

/// What the page shows.
struct One<'s> {
    view: View<'s>,
    calculator: Calculator,
    examples: Vec<Example>,
    base_url: String,
}

#[derive(Template)]
#[template(path = "model.html")]
struct Html<'p, 's> {
    frame: Frame<'s>,
    page: &'p One<'s>,
}

#[derive(Template)]
#[template(path = "model.md")]
struct Markdown<'p, 's> {
    page: &'p One<'s>,
}

/// The page, or the same as Markdown; another name of a model leads to its own.
pub(crate) async fn page(
    State(site): State<Arc<Site>>,
    Path(path): Path<String>,
    uri: Uri,
) -> Response {
    // A model may be called what ends like Markdown.
    let (form, slug) = match site.model(&path) {
        Some(_) => (Form::Html, path.as_str()),
        None => Form::of(&path),
    };
    let Some(model) = site.model(slug) else {
        return match site.catalogue.find(slug) {
            Some(model) => Redirect::permanent(&format!("/models/{}", model.slug)).into_response(),
            None => lost::page(&site).into_response(),
        };
    };
    let page = &One::of(&site, model, &uri);
    match form {
        Form::Markdown => Page::markdown(&Markdown { page }),
        Form::Html => {
            let frame = Frame::new(&site, Part::Models, page.view.name(), &page.about());
            let frame = frame.with_markdown(format!("/models/{slug}.md"));
            Page::html(&Html { frame, page })
        }
    }
    .into_response()
}

// === impl One ===

impl<'s> One<'s> {
    fn of(site: &'s Site, model: &'s Model, uri: &Uri) -> Self {
        let (at, base_url) = (now(), site.base_url());
        let asked: BTreeMap<String, String> = asked(uri).into_iter().collect();
        Self {
            view: View::new(model, at),
            calculator: Calculator::of(model, &asked, at),
            examples: examples::all(model, &base_url),
            base_url,
        }
    }

    fn about(&self) -> String {
        format!(
            "{} by {}: parameters, limits, prices and examples. {}.",
            self.view.name(),
            self.view.maker(),
            self.view.from()
        )
    }

    /// What the form's request costs; `None`: it is refused.
    fn cost(&self) -> Option<String> {
        self.calculator.amount().map(credits)
    }
}
