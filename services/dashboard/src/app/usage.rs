//! `/usage`: what was spent, by day and by model, key or route: a chart, sums, and the same as a file.

mod csv;
mod sums;
pub(crate) mod wanted;

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
    routing::get,
};
use domain::{KeyId, Micros};
use http::{StatusCode, Uri, header};
use proto::billing::v1::{GetUsageRequest, UsageRow};

use self::{
    sums::Sum,
    wanted::{By, RANGES, Wanted},
};
use super::{Frame, named::Keys};
use crate::{
    Site,
    chart::{self, Bars},
    days,
    page::Page,
    refused::{Answer, Refused},
    router::Row,
    show,
    who::Member,
};

/// Its URLs.
pub(crate) const ROUTES: &[Row] = &[("/usage", || get(page)), ("/usage.csv", || get(file))];

/// The columns of the file behind those of the day and the group.
const COLUMNS: [&str; 5] = [
    "operations",
    "free_operations",
    "credits",
    "input_tokens",
    "output_tokens",
];

#[derive(Template)]
#[template(path = "app/usage.html")]
struct Html<'s> {
    frame: Frame<'s>,
    wanted: Wanted,
    form: Form<'s>,
    total: Sum,
    chart: Bars,
    sums: Vec<Sum>,
    /// By day and group, the newest first, as many as are shown.
    rows: Vec<Line>,
    /// How many there are.
    all: usize,
}

/// What the form offers.
pub(crate) struct Form<'s> {
    /// Slugs.
    pub(crate) models: Vec<&'s str>,
    pub(crate) keys: Keys,
}

/// What one group used on a day.
struct Line {
    day: String,
    name: String,
    operations: String,
    free: String,
    charged: String,
    tokens: (String, String),
}

/// The page.
async fn page(State(site): State<Arc<Site>>, member: Member, uri: Uri) -> Answer {
    let mut wanted = Wanted::read(&uri, &site.catalogue, site.config.usage.days);
    let (rows, keys) = tokio::join!(ask(&site, &member, &wanted), Keys::ask(&site, &member));
    let keys = keys?;
    let rows = match rows {
        Ok(rows) => rows,
        Err(refused) => {
            wanted.wrong.get_or_insert(refused.told()?.message);
            Vec::new()
        }
    };
    let sums = sums::sums(&rows, &wanted, &keys);
    let series = sums::series(&sums);
    let shown = rows.iter().rev().take(site.config.usage.rows);
    let html = Html {
        frame: Frame::new(&site, &member, "/usage", "Usage"),
        total: sums::total(&rows),
        chart: Bars::by_day("usage", "Credits spent by day", wanted.first, &series),
        rows: shown.map(|row| Line::of(row, wanted.by, &keys)).collect(),
        all: rows.len(),
        form: Form::new(&site, keys),
        sums,
        wanted,
    };
    let page = Page::html(&html);
    Ok(match html.wanted.wrong {
        Some(_) => page.with(StatusCode::BAD_REQUEST).into_response(),
        None => page.into_response(),
    })
}

/// The same as a file: a row for each day and group, the oldest first.
async fn file(State(site): State<Arc<Site>>, member: Member, uri: Uri) -> Answer {
    let wanted = Wanted::read(&uri, &site.catalogue, site.config.usage.days);
    if let Some(wrong) = wanted.wrong {
        return Err(Refused::new(StatusCode::BAD_REQUEST, wrong));
    }
    let (rows, keys) = tokio::join!(ask(&site, &member, &wanted), Keys::ask(&site, &member));
    let (rows, keys) = (rows?, keys?);
    let groups: &[&str] = match wanted.by {
        By::Key => &["key_id", "key"],
        By::Model | By::Route => &[wanted.by.word()],
    };
    let mut text = csv::line(["day"].iter().chain(groups).chain(&COLUMNS).copied());
    for row in &rows {
        text.push_str(&record(row, wanted.by, &keys));
    }
    let (first, last) = (days::text(wanted.first), days::text(wanted.last));
    Ok(download(&format!("usage-{first}-{last}.csv"), text))
}

/// A row of the file.
fn record(row: &UsageRow, by: By, keys: &Keys) -> String {
    let mut cells = vec![days::text(row.day)];
    match by {
        By::Key => {
            let id = KeyId::from_slice(&row.key_id).map(|id| id.to_string());
            cells.extend([id.unwrap_or_default(), keys.name(&row.key_id)]);
        }
        By::Model => cells.push(row.model.clone()),
        By::Route => cells.push(row.route.clone()),
    }
    cells.extend([row.operations.to_string(), row.free.to_string()]);
    cells.push(Micros::new(row.charged).to_string());
    cells.extend([row.input_tokens.to_string(), row.output_tokens.to_string()]);
    csv::line(cells.iter().map(String::as_str))
}

fn download(name: &str, text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    (headers, text).into_response()
}

/// Rows by day and group, the oldest first. What the form has wrong is not asked for.
async fn ask(site: &Site, member: &Member, wanted: &Wanted) -> Result<Vec<UsageRow>, Refused> {
    let only = &wanted.only;
    if only.wrong().is_some() {
        return Ok(Vec::new());
    }
    let request = GetUsageRequest {
        context: Some(member.context()),
        first_day: wanted.first,
        last_day: wanted.last,
        group_by: vec!["day".to_owned(), wanted.by.word().to_owned()],
        tag: only.tag(),
        model: only.model.clone(),
        key_id: only.key_id().unwrap_or_default().into(),
    };
    let mut usage = site.peers.usage.clone();
    let reply = usage.get_usage(site.peers.ask(request)).await?;
    Ok(reply.into_inner().rows)
}

// === impl Form ===

impl<'s> Form<'s> {
    /// Every model and key.
    pub(crate) fn new(site: &'s Site, keys: Keys) -> Self {
        let models = site.catalogue.models().iter();
        let mut models: Vec<&str> = models.map(|model| model.slug.as_str()).collect();
        models.sort_unstable();
        Self { models, keys }
    }

    /// Whether a model must be offered by itself, as it is asked for and there is none such any more.
    pub(crate) fn lacks(&self, model: &str) -> bool {
        !model.is_empty() && !self.models.contains(&model)
    }

    /// The same of a key.
    pub(crate) fn lacks_key(&self, key: &str) -> bool {
        !key.is_empty() && !self.keys.iter().any(|(id, _)| id == key)
    }
}

// === impl Line ===

impl Line {
    fn of(row: &UsageRow, by: By, keys: &Keys) -> Self {
        Self {
            day: days::text(row.day),
            name: sums::name(row, by, keys),
            operations: show::count(row.operations),
            free: show::count(row.free),
            charged: show::credits(row.charged),
            tokens: (
                show::count(row.input_tokens),
                show::count(row.output_tokens),
            ),
        }
    }
}

// === impl Html ===

impl Html<'_> {
    /// Ranges: how many days, where, and whether it is this one.
    fn ranges(&self) -> impl Iterator<Item = (i64, String, bool)> {
        let wanted = &self.wanted;
        let one = |days| {
            (
                days,
                wanted.href("/usage", wanted.by, Some(days)),
                wanted.days == Some(days),
            )
        };
        RANGES.into_iter().map(one)
    }

    /// Groups: their name, where, and whether it is this one.
    fn groups(&self) -> impl Iterator<Item = (&'static str, String, bool)> {
        let wanted = &self.wanted;
        let one = |by: By| {
            (
                by.name(),
                wanted.href("/usage", by, wanted.days),
                wanted.by == by,
            )
        };
        By::ALL.into_iter().map(one)
    }

    /// Where the file is.
    fn file(&self) -> String {
        let wanted = &self.wanted;
        wanted.href("/usage.csv", wanted.by, wanted.days)
    }

    /// How much of all a group is, drawn.
    fn bar(&self, sum: &Sum) -> String {
        chart::bar(sum.charged, self.total.charged, 0)
    }

    /// The requests behind a row, if there is a page of them.
    fn requests(&self, sum: &Sum) -> Option<String> {
        if self.wanted.by != By::Model || sum.name == "Not told" {
            return None;
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("model", &sum.name);
        query.append_pair("from", &days::text(self.wanted.first));
        query.append_pair("to", &days::text(self.wanted.last));
        let others = self.wanted.only.pairs();
        query.extend_pairs(others.filter(|(name, _)| *name != "model"));
        Some(format!("/requests?{}", query.finish()))
    }
}
