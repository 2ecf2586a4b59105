//! `/operator/models`: who serves each model, in which order, by which weights, and as what.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::IntoResponse as _,
};
use domain::catalogue::{Cancel, Model, ProviderRoute, Status};
use serde_json::{Map, Value};

use super::{Cell, PART, Stat, Table, Tabs, duration};
use crate::{
    Site,
    app::Frame,
    page::Page,
    prices::{self, PriceTable},
    refused::{Answer, Refused},
    view::{View, plain},
    who::{Member, Operates},
};

#[derive(Template)]
#[template(path = "app/operator/models.html")]
struct List<'s> {
    frame: Frame<'s>,
    tabs: Tabs,
    version: &'s str,
    table: Table,
}

#[derive(Template)]
#[template(path = "app/operator/model.html")]
struct Html<'s> {
    frame: Frame<'s>,
    tabs: Tabs,
    slug: &'s str,
    href: String,
    notice: Option<&'s str>,
    stats: Vec<Stat>,
    routes: Table,
    /// The provider and what it is sent, where its row says that.
    inputs: Vec<(String, String)>,
    prices: Table,
}

/// Every model.
pub(crate) async fn list(State(site): State<Arc<Site>>, member: Member<Operates>) -> Answer {
    let at = crate::now();
    let row = |model: &Model| {
        let view = View::new(model, at);
        let providers = model.providers.iter().map(|route| route.provider.as_str());
        let href = format!("/operator/models/{}", model.slug);
        vec![
            Cell::code(&model.slug).to(href),
            Cell::text(view.category_name()),
            life(model),
            Cell::text(duration(
                i64::from(model.deadline_seconds).saturating_mul(super::SECOND),
            )),
            Cell::text(in_turn(providers)),
            Cell::text(view.from()),
        ]
    };
    let columns = [
        "Model",
        "Makes",
        "State",
        "#Deadline",
        "Asked in this order",
        "Price",
    ];
    let html = List {
        frame: Frame::new(&site, &member, PART, "Routes"),
        tabs: Tabs("/operator/models"),
        version: site.catalogue.version(),
        table: Table::new("Models", &columns).with(site.catalogue.models().iter().map(row)),
    };
    Ok(Page::html(&html).into_response())
}

/// One model.
pub(crate) async fn page(
    State(site): State<Arc<Site>>,
    member: Member<Operates>,
    Path(slug): Path<String>,
) -> Answer {
    let model = site.model(&slug).ok_or_else(Refused::not_found)?;
    let view = View::new(model, crate::now());
    let columns = [
        "Provider",
        "Its name there",
        "Adapter",
        "Place",
        "#Weight",
        "Only",
        "Bills, $",
    ];
    let prices = model.prices().map(|price| {
        let from = price.effective_from.map(|from| from.to_string());
        let table = PriceTable::new(price);
        let rows = table.rows().into_iter();
        let rows = rows.map(|row| format!("{}: {} per {}", row.of, row.credits, table.unit()));
        vec![
            Cell::text(from.unwrap_or_else(|| "from the beginning".to_owned())),
            Cell::text(rows.collect::<Vec<_>>().join("; ")),
            Cell::text(table.notes().join(" ")),
        ]
    });
    let inputs = model.providers.iter().filter_map(|route| {
        let input = route.input.as_ref()?;
        let text = serde_json::to_string_pretty(input).unwrap_or_default();
        Some((route.provider.clone(), text))
    });
    let html = Html {
        frame: Frame::new(&site, &member, PART, model.name.as_str()),
        tabs: Tabs("/operator/models"),
        slug: &model.slug,
        href: view.href(),
        notice: model.notice.as_deref(),
        stats: stats(model),
        routes: Table::new("Routes", &columns).with(routes(model)),
        inputs: inputs.collect(),
        prices: Table::new("Prices", &["In force", "Credits", "Also"]).with(prices),
    };
    Ok(Page::html(&html).into_response())
}

/// Names in their order; what stands several times in a row is said once, with how often.
fn in_turn<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let mut all: Vec<(&str, usize)> = Vec::new();
    for name in names {
        match all.last_mut() {
            Some((last, times)) if *last == name => *times = times.saturating_add(1),
            Some(_) | None => all.push((name, 1)),
        }
    }
    let said = all.into_iter().map(|(name, times)| match times {
        1 => name.to_owned(),
        times => format!("{name} ×{times}"),
    });
    said.collect::<Vec<_>>().join(", ")
}

fn life(model: &Model) -> Cell {
    match (model.status, &model.successor) {
        (Status::Live, _) => Cell::badge("good", "live"),
        (Status::Succeeded, successor) => {
            let by = successor.as_deref().unwrap_or_default();
            Cell::badge("", "succeeded").over(format!("by {by}"))
        }
    }
}

fn stats(model: &Model) -> Vec<Stat> {
    let seconds = |seconds: u32| duration(i64::from(seconds).saturating_mul(super::SECOND));
    let state = match (model.status, &model.successor) {
        (Status::Live, _) => ("live", String::new()),
        (Status::Succeeded, successor) => (
            "succeeded",
            format!("by {}", successor.as_deref().unwrap_or_default()),
        ),
    };
    let cancel = match model.cancel {
        Cancel::Never => "never",
        Cancel::Queued => "while queued",
        Cancel::Running => "while running",
    };
    let usual = model.usual_seconds.map(seconds);
    vec![
        Stat::new("State", state.0, state.1),
        Stat::new(
            "Deadline",
            seconds(model.deadline_seconds),
            usual.map_or_else(String::new, |usual| format!("usually {usual}")),
        ),
        Stat::new("Can be cancelled", cancel, ""),
        Stat::new("Webhook", if model.webhook { "yes" } else { "no" }, ""),
    ]
}

/// Its rows in order. Equals have the same place, and share by weight.
fn routes(model: &Model) -> impl Iterator<Item = Vec<Cell>> {
    (1_usize..).zip(model.tiers()).flat_map(|(place, tier)| {
        let shared = tier.len() > 1;
        tier.iter().map(move |route| {
            let weight = if shared {
                route.weight.to_string()
            } else {
                "–".to_owned()
            };
            vec![
                Cell::code(&route.provider),
                Cell::code(&route.model),
                Cell::text(&route.adapter),
                Cell::text(place.to_string()),
                Cell::text(weight),
                Cell::text(only(route)),
                Cell::text(bills(route)),
            ]
        })
    })
}

/// Which requests a route is for.
fn only(route: &ProviderRoute) -> String {
    let mut parts: Vec<String> = conditions(&route.when).collect();
    parts.extend(route.with.iter().map(|name| format!("with {name}")));
    parts.extend(route.without.iter().map(|name| format!("without {name}")));
    if route.costly {
        parts.push("last of all: it costs more than the model brings".to_owned());
    }
    match parts.is_empty() {
        true => "any request".to_owned(),
        false => parts.join(", "),
    }
}

fn conditions(when: &Map<String, Value>) -> impl Iterator<Item = String> {
    when.iter()
        .map(|(name, value)| format!("{name} {}", plain(value)))
}

/// What it bills, where the file says so.
fn bills(route: &ProviderRoute) -> String {
    match (route.bills_micro_usd, &route.bills) {
        (Some(micro), _) => format!("{} a unit", usd(micro)),
        // A credit is a cent: so many micro-credits for a token are as many cents for a million of them.
        (None, Some(bills)) => {
            let all = prices::classes(bills).into_iter().map(|class| {
                let million = bills.of(class).saturating_mul(10_000);
                format!("{} {}", usd(million), class.as_str().replace('_', " "))
            });
            let all: Vec<String> = all.collect();
            format!("{} a million", all.join(", "))
        }
        (None, None) => "–".to_owned(),
    }
}

/// Millionths of a US dollar as dollars.
fn usd(micro: i64) -> String {
    domain::Micros::new(micro).to_string()
}
