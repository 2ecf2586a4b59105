//! `/operator/settings`: the configuration as this process sees it, without secrets.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::IntoResponse as _};
use chassis::config::Shown;

use super::{Cell, PART, Table, Tabs};
use crate::{
    Site,
    app::Frame,
    page::Page,
    refused::Answer,
    who::{Member, Operates},
};

#[derive(Template)]
#[template(path = "app/operator/settings.html")]
struct Html<'s> {
    frame: Frame<'s>,
    tabs: Tabs,
    version: &'static str,
    table: Table,
}

/// The page.
pub(crate) async fn page(State(site): State<Arc<Site>>, member: Member<Operates>) -> Answer {
    let row = |shown: &Shown| {
        vec![
            Cell::code(&shown.name),
            Cell::code(&shown.value),
            Cell::text(shown.place),
        ]
    };
    let table = Table::new("Settings", &["Setting", "Value", "Where it was set"])
        .or("Nothing is set: everything has its default.")
        .with(site.desk.settings.iter().map(row));
    let html = Html {
        frame: Frame::new(&site, &member, PART, "Settings of the installation"),
        tabs: Tabs("/operator/settings"),
        version: env!("CARGO_PKG_VERSION"),
        table,
    };
    Ok(Page::html(&html).into_response())
}
