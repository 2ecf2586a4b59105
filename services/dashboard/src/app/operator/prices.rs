//! `/operator/prices`: the price book. Every list that was charged by is kept under the hash of its text; two of them are compared file
//! by file.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{
    extract::{Query, State},
    response::IntoResponse as _,
};
use domain::catalogue::Model;
use proto::billing::v1::{GetPriceListRequest, KeptPriceList, ListPriceListsRequest};
use serde::Deserialize;

use super::{
    Cell, PART, Table, Tabs,
    diff::{self, Line},
    href,
};
use crate::{
    Site,
    app::Frame,
    page::Page,
    prices::PriceTable,
    refused::{Answer, Refused},
    show::Time,
    who::{Member, Operates},
};

/// What stands before the name of a file in a price list, on a line of its own.
const MARK: &str = "#: ";
/// Lines that are shown around what differs.
const CONTEXT: usize = 3;
/// Lists that are told of at most.
const LISTS: u32 = 200;

/// What a link to the page says: the versions that are compared.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    from: String,
    to: String,
}

#[derive(Template)]
#[template(path = "app/operator/prices.html")]
struct Html<'s> {
    frame: Frame<'s>,
    tabs: Tabs,
    current: &'s str,
    table: Table,
    /// Prices that are announced.
    coming: Table,
    /// The versions to choose from, with their dates.
    lists: Vec<(String, Time)>,
    from: &'s str,
    to: &'s str,
    /// The files that differ; `None`: nothing is compared.
    files: Option<Vec<File>>,
}

/// A file that differs.
struct File {
    name: String,
    /// What became of it, in a word.
    state: &'static str,
    lines: Vec<Shown>,
}

/// A line of it.
struct Shown {
    /// `in`, `out`, `same` or `cut`.
    kind: &'static str,
    text: String,
}

/// The page.
pub(crate) async fn page(
    State(site): State<Arc<Site>>,
    member: Member<Operates>,
    Query(asked): Query<Asked>,
) -> Answer {
    let mut billing = site.peers.operators.billing.clone();
    let request = ListPriceListsRequest { limit: LISTS };
    let lists = billing.list_price_lists(site.peers.ask(request)).await?;
    let lists = lists.into_inner().lists;
    let current = site.catalogue.version();
    let files = if asked.from.is_empty() || asked.to.is_empty() {
        None
    } else {
        let (old, new) = tokio::try_join!(text(&site, &asked.from), text(&site, &asked.to))?;
        Some(differing(&old, &new))
    };
    let html = Html {
        frame: Frame::new(&site, &member, PART, "Price book"),
        tabs: Tabs("/operator/prices"),
        current,
        table: kept(&lists, current),
        coming: coming(&site),
        from: &asked.from,
        to: if asked.to.is_empty() {
            current
        } else {
            &asked.to
        },
        lists: lists
            .into_iter()
            .map(|list| (list.version, Time::of(list.created_at)))
            .collect(),
        files,
    };
    Ok(Page::html(&html).into_response())
}

/// The text of a list: of this program's own also before it was charged by.
async fn text(site: &Site, version: &str) -> Result<String, Refused> {
    if version == site.catalogue.version() {
        return Ok(site.catalogue.list().to_owned());
    }
    let request = GetPriceListRequest {
        version: version.to_owned(),
    };
    let mut prices = site.peers.prices.clone();
    let list = prices.get_price_list(site.peers.ask(request)).await?;
    Ok(list.into_inner().body)
}

fn kept(lists: &[KeptPriceList], current: &str) -> Table {
    let before = lists.iter().skip(1).map(Some).chain([None]);
    let row = |(list, before): (&KeptPriceList, Option<&KeptPriceList>)| {
        let state = if list.version == current {
            Cell::badge("good", "in force")
        } else {
            Cell::text("kept for its receipts")
        };
        let changes = match before {
            None => Cell::text("the first"),
            Some(before) => {
                let query = [("from", before.version.as_str()), ("to", &list.version)];
                Cell::text("what it changed").to(href("/operator/prices", &query))
            }
        };
        vec![
            Cell::code(&list.version),
            Cell::time(list.created_at),
            state,
            changes,
        ]
    };
    let columns = [
        "Version",
        "First charged by",
        "State",
        "Against the one before",
    ];
    Table::new("Price lists", &columns)
        .or("No list was charged by yet.")
        .with(lists.iter().zip(before).map(row))
}

/// Prices of the list in force that come into force later.
fn coming(site: &Site) -> Table {
    let now = crate::now();
    let of_model = |model: &Model| {
        let slug = model.slug.clone();
        let later = model.prices().filter_map(move |price| {
            let from = price.effective_from.filter(|from| *from > now)?;
            let table = PriceTable::new(price);
            let rows = table.rows().into_iter();
            let rows = rows.map(|row| format!("{}: {}", row.of, row.credits));
            Some(vec![
                Cell::code(&slug).to(format!("/operator/models/{slug}")),
                Cell::time(from.micros()),
                Cell::text(rows.collect::<Vec<_>>().join("; "))
                    .over(format!("credits per {}", table.unit())),
            ])
        });
        later.collect::<Vec<_>>()
    };
    Table::new("Announced prices", &["Model", "From", "Price"])
        .or("No price changes by itself: none has a date that is to come.")
        .with(site.catalogue.models().iter().flat_map(of_model))
}

/// The files that differ between two lists, by name.
fn differing(old: &str, new: &str) -> Vec<File> {
    let (old, new) = (files(old), files(new));
    let mut names: Vec<&str> = old.keys().chain(new.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    let of_name = |name: &str| {
        let (before, after) = (old.get(name), new.get(name));
        let state = match (before, after) {
            (None, _) => "new",
            (_, None) => "gone",
            (Some(before), Some(after)) if before == after => return None,
            (Some(_), Some(_)) => "changed",
        };
        let lines = diff::lines(
            before.map_or("", String::as_str),
            after.map_or("", String::as_str),
        );
        let lines = diff::around(&lines, CONTEXT);
        Some(File {
            name: name.to_owned(),
            state,
            lines: lines.into_iter().map(shown).collect(),
        })
    };
    names.into_iter().filter_map(of_name).collect()
}

/// The files of a list: name and text of each.
fn files(list: &str) -> BTreeMap<&str, String> {
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    let mut name = "";
    for line in list.lines() {
        match line.strip_prefix(MARK) {
            Some(begins) => name = begins.trim_end(),
            None => {
                let text = files.entry(name).or_default();
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    files
}

fn shown(line: Option<Line<'_>>) -> Shown {
    let (kind, text) = match line {
        None => ("cut", "…"),
        Some(Line::Same(text)) => ("same", text),
        Some(Line::Out(text)) => ("out", text),
        Some(Line::In(text)) => ("in", text),
    };
    Shown {
        kind,
        text: text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_differ_are_named_with_what_became_of_them() {
        let old = "#: a.toml\nprice = 1\n#: b.toml\nprice = 2\n#: c.toml\nx = 1\n";
        let new = "#: a.toml\nprice = 1\n#: b.toml\nprice = 3\n#: d.toml\ny = 1\n";
        let found = differing(old, new);
        let named: Vec<_> = found
            .iter()
            .map(|file| (file.name.as_str(), file.state))
            .collect();
        assert_eq!(
            named,
            [("b.toml", "changed"), ("c.toml", "gone"), ("d.toml", "new")]
        );
        let lines: Vec<_> = found[0]
            .lines
            .iter()
            .map(|line| (line.kind, line.text.as_str()))
            .collect();
        assert_eq!(lines, [("out", "price = 2"), ("in", "price = 3")]);
        assert!(differing(old, old).is_empty());
    }
}
