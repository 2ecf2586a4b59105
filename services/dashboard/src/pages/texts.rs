//! What is no page of its own: the list for programs, style and script; and how what a page is asked for is read.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, Uri};

use super::lost;
use crate::{
    Site,
    docs::{Docs, GROUPS},
    now,
    page::Page,
    view::View,
};

/// `GET /llms.txt`, as llmstxt.org describes it.
#[derive(Template)]
#[template(path = "llms.txt")]
struct Llms<'s> {
    base_url: String,
    origin: &'s str,
    docs: &'s Docs,
    models: Vec<View<'s>>,
}

/// Every page's Markdown, for programs that read.
pub(crate) async fn llms(State(site): State<Arc<Site>>) -> Page {
    let (models, at) = (site.catalogue.models(), now());
    Page::markdown(&Llms {
        base_url: site.base_url(),
        origin: &site.public_url,
        docs: &site.texts.docs,
        models: models.iter().map(|model| View::new(model, at)).collect(),
    })
}

/// Everything may be read by everybody.
pub(crate) async fn robots() -> &'static str {
    "User-agent: *\nAllow: /\n"
}

/// Style, script, mark.
pub(crate) async fn asset(State(site): State<Arc<Site>>, uri: Uri, headers: HeaderMap) -> Response {
    let found = site.texts.assets.get(uri.path(), &headers);
    found.unwrap_or_else(|| lost::page(&site).into_response())
}

/// What stands behind the question mark, in order; nothing where it cannot be read.
pub(crate) fn asked(uri: &Uri) -> Vec<(String, String)> {
    Query::try_from_uri(uri).map_or_else(|_| Vec::new(), |Query(asked)| asked)
}

/// The last value of a name, without blanks around it; empty: there is none.
pub(crate) fn one<'a>(asked: &'a [(String, String)], name: &str) -> &'a str {
    let mut values = asked.iter().rev();
    let found = values.find(|(own, _)| own == name);
    found.map_or("", |(_, value)| value.trim())
}
