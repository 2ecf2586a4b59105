//! `/docs` and what stands below it.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::{IntoResponse as _, Response},
};

use super::lost;
use crate::{
    Site,
    docs::{Doc, Docs, GROUPS},
    layout::{Frame, Part},
    page::{Form, Page},
};

const ABOUT: &str =
    "Guides and reference: from the first request to what happens when things break.";

#[derive(Template)]
#[template(path = "docs.html")]
struct Index<'s> {
    frame: Frame<'s>,
    docs: &'s Docs,
}

#[derive(Template)]
#[template(path = "docs.md")]
struct IndexMarkdown<'s> {
    docs: &'s Docs,
}

#[derive(Template)]
#[template(path = "doc.html")]
struct Html<'s> {
    frame: Frame<'s>,
    docs: &'s Docs,
    doc: &'s Doc,
}

/// The contents.
pub(crate) async fn index(State(site): State<Arc<Site>>) -> Page {
    let frame = Frame::new(&site, Part::Docs, "Docs", ABOUT).with_markdown("/docs.md");
    let docs = &site.texts.docs;
    Page::html(&Index { frame, docs })
}

/// The same as Markdown.
pub(crate) async fn index_markdown(State(site): State<Arc<Site>>) -> Page {
    Page::markdown(&IndexMarkdown {
        docs: &site.texts.docs,
    })
}

/// One page, or the same as Markdown.
pub(crate) async fn page(State(site): State<Arc<Site>>, Path(path): Path<String>) -> Response {
    let (form, path) = Form::of(&path);
    let Some(doc) = site.texts.docs.get(path) else {
        return lost::page(&site).into_response();
    };
    match form {
        Form::Markdown => Page::text(doc.markdown.clone()),
        Form::Html => {
            let frame = Frame::new(&site, Part::Docs, &doc.title, &doc.about);
            let frame = frame.with_markdown(format!("/docs/{path}.md"));
            let docs = &site.texts.docs;
            Page::html(&Html { frame, docs, doc })
        }
    }
    .into_response()
}
