//! What is no page.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use http::StatusCode;

use crate::{
    Site,
    layout::{Frame, Part},
    page::Page,
};

#[derive(Template)]
#[template(path = "lost.html")]
struct Html<'s> {
    frame: Frame<'s>,
    status: u16,
    told: &'static str,
}

/// There is no such page.
pub(crate) fn page(site: &Site) -> Page {
    let told = "The address may be mistyped, or the model may have gone from this installation.";
    refusal(site, StatusCode::NOT_FOUND, "There is no such page", told)
}

/// The fallback of the router.
pub(crate) async fn unknown(State(site): State<Arc<Site>>) -> Page {
    page(&site)
}

/// The fallback of a page that is asked for by another method.
pub(crate) async fn method(State(site): State<Arc<Site>>) -> Page {
    let told = "Pages are read by GET. Requests to the API go below /api/v1.";
    let status = StatusCode::METHOD_NOT_ALLOWED;
    refusal(&site, status, "This page does not take that", told)
}

fn refusal(site: &Site, status: StatusCode, title: &str, told: &'static str) -> Page {
    let frame = Frame::new(site, Part::Start, title, told);
    let page = Html {
        frame,
        status: status.as_u16(),
        told,
    };
    Page::html(&page).with(status)
}
