//! `/home`: the first page behind the door: balance, how long it lasts, what it is spent on, what runs, and who answers.

mod look;
mod rate;

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::IntoResponse as _, routing::get};
use domain::Catalogue;
use proto::billing::v1::{Balance, UsageRow};
use serde::Deserialize;

use self::{look::Seen, rate::Left};
use super::{Frame, requests::line::Line};
use crate::{
    Site,
    chart::{self, Bars, GREY, Series},
    days,
    page::Page,
    refused::Answer,
    router::Row,
    show::{self, Time},
    view::CATEGORIES,
    who::Member,
};

/// Its URL.
pub(crate) const ROUTES: &[Row] = &[("/home", || get(page))];

/// Days of spending that are shown.
const SPAN: i64 = 30;

#[derive(Template)]
#[template(path = "app/home.html")]
struct Html<'s> {
    frame: Frame<'s>,
    /// `None` here and below: whoever knows does not answer.
    money: Option<Money>,
    spent: Option<Spent>,
    recent: Option<Vec<Line>>,
    running: Option<Vec<Running>>,
    steps: Vec<Step>,
    services: Vec<Service>,
}

/// The balance: figures as [`show::figure`] writes them.
struct Money {
    available: String,
    held: String,
    holds: String,
    frozen: bool,
    /// What expires first: how much, and when.
    expiring: Option<(String, Time)>,
    /// `None`: nobody knows what was spent.
    left: Option<Left>,
}

/// What was spent.
struct Spent {
    chart: Bars,
    /// As [`show::figure`] writes it.
    total: String,
    line: String,
    /// Operations since yesterday, and those of them that cost nothing.
    lately: i64,
    free: i64,
}

/// A task that runs, or waits for it.
#[derive(Clone, Debug, Deserialize)]
struct Running {
    task_id: String,
    model: String,
    status: String,
    #[serde(default)]
    progress: Option<i64>,
}

/// What newcomers do first.
struct Step {
    name: &'static str,
    href: &'static str,
    why: &'static str,
    done: bool,
}

/// Another service.
struct Service {
    name: &'static str,
    answers: bool,
}

/// The page.
async fn page(State(site): State<Arc<Site>>, member: Member) -> Answer {
    let seen = look::look(&site, &member).await;
    let services = services(&seen);
    let frame = Frame::new(&site, &member, "/home", "Home");
    let steps = if frame.manages() {
        steps(&seen)
    } else {
        Vec::new()
    };
    let usage = seen.usage.ok();
    let keys = seen.keys.unwrap_or_default();
    let line = |operation| Line::of(operation, &keys);
    let html = Html {
        frame,
        money: seen
            .balance
            .ok()
            .map(|balance| money(balance, usage.as_deref())),
        spent: usage.map(|rows| spent(&site.catalogue, &rows, days::today())),
        recent: seen
            .operations
            .ok()
            .map(|operations| operations.into_iter().filter_map(line).collect()),
        running: seen.tasks.ok(),
        steps,
        services,
    };
    Ok(Page::html(&html).into_response())
}

fn money(balance: Balance, usage: Option<&[UsageRow]>) -> Money {
    let available = balance.posted.saturating_sub(balance.held);
    let first = days::today() - (rate::DAYS - 1);
    let week = usage.map(|rows| {
        let rows = rows.iter().filter(|row| row.day >= first);
        rows.fold(0_i64, |sum, row| sum.saturating_add(row.charged))
    });
    let expiring = balance.expiring.first();
    Money {
        available: show::figure(available),
        held: show::figure(balance.held),
        holds: match balance.open_holds {
            1 => "by 1 request that runs".to_owned(),
            holds => format!("by {} requests that run", show::count(holds)),
        },
        frozen: balance.frozen,
        expiring: expiring.map(|lot| (show::credits(lot.left), Time::of(lot.expires_at))),
        left: week.map(|week| rate::left(available, week)),
    }
}

/// What was spent on the days up to today, by category.
fn spent(catalogue: &Catalogue, rows: &[UsageRow], today: i64) -> Spent {
    let first = today - (SPAN - 1);
    let length = usize::try_from(SPAN).unwrap_or(0);
    let named = CATEGORIES.iter().map(|(_, _, name)| *name);
    let mut series: Vec<Series> = (0..)
        .zip(named.chain(["Other"]))
        .map(|(place, name)| Series {
            name: name.to_owned(),
            colour: place,
            values: vec![0; length],
        })
        .collect();
    let mut all = vec![0_i64; length];
    for row in rows {
        let Ok(day) = usize::try_from(row.day - first) else {
            continue;
        };
        let of = of_category(catalogue, &row.model);
        let values = series.get_mut(of).map(|series| &mut series.values);
        let places = values.and_then(|values| values.get_mut(day));
        for sum in places.into_iter().chain(all.get_mut(day)) {
            *sum = sum.saturating_add(row.charged);
        }
    }
    series.retain(|series| series.values.iter().any(|value| *value != 0));
    let lately = rows.iter().filter(|row| row.day >= today - 1);
    let (lately, free) = lately.fold((0, 0), |(all, free), row| {
        (all + row.operations, free + row.free)
    });
    let total = all
        .iter()
        .fold(0_i64, |sum, more| sum.saturating_add(*more));
    Spent {
        chart: Bars::by_day("spent", "Credits spent by day", first, &series)
            .with_table(first, &series),
        total: show::figure(total),
        line: chart::spark(&all),
        lately,
        free,
    }
}

/// The place of a model's category; behind all others: nobody knows it.
fn of_category(catalogue: &Catalogue, slug: &str) -> usize {
    let mut models = catalogue.models().iter();
    let model = models.find(|model| model.slug == slug);
    let place = model.and_then(|model| {
        let mut known = CATEGORIES.iter();
        known.position(|(category, ..)| *category == model.category)
    });
    place.unwrap_or(GREY)
}

/// What newcomers have not done yet; nothing once all is done, or while nobody knows.
fn steps(seen: &Seen) -> Vec<Step> {
    let used = |rows: &Vec<UsageRow>| rows.iter().any(|row| row.operations > 0);
    let (Ok(keys), Ok(usage), Ok(told), Ok(paid)) =
        (&seen.keys, &seen.usage, &seen.told, &seen.paid)
    else {
        return Vec::new();
    };
    let steps = [
        (
            "Make an API key",
            "/keys",
            "Your programs show it with each request.",
            !keys.is_empty(),
        ),
        (
            "Run something in the playground",
            "/playground",
            "Any model, and what it costs before you press the button.",
            used(usage),
        ),
        (
            "Add a webhook",
            "/webhooks",
            "Be told when a task is done, instead of asking.",
            *told,
        ),
        (
            "Buy credit",
            "/credits",
            "For live requests. In test mode you have play money.",
            *paid,
        ),
    ];
    if steps.iter().all(|(.., done)| *done) {
        return Vec::new();
    }
    let step = |(name, href, why, done)| Step {
        name,
        href,
        why,
        done,
    };
    steps.map(step).into()
}

fn services(seen: &Seen) -> Vec<Service> {
    let all = [
        ("Money and keys", look::answers(&seen.balance)),
        ("Chat", look::answers(&seen.chat)),
        ("Media tasks", look::answers(&seen.tasks)),
        ("Webhooks", look::answers(&seen.told)),
    ];
    all.map(|(name, answers)| Service { name, answers }).into()
}

// === impl Spent ===

impl Spent {
    /// `3.2 %`: of what ended lately, what cost nothing.
    fn share(&self) -> String {
        let tenths = (self.free * 1_000).checked_div(self.lately).unwrap_or(0);
        match (tenths / 10, tenths % 10) {
            (whole, 0) => format!("{whole} %"),
            (whole, tenth) => format!("{whole}.{tenth} %"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(day: i64, model: &str, charged: i64, free: i64) -> UsageRow {
        UsageRow {
            day,
            model: model.to_owned(),
            operations: 3,
            free,
            charged,
            ..UsageRow::default()
        }
    }

    #[test]
    fn spending_is_told_by_category() {
        let catalogue = Catalogue::built_in().unwrap();
        let rows = [
            row(100, "gemini", 2_000_000, 0),
            row(99, "flux-2", 3_000_000, 1),
            row(99, "what-was-once", 500_000, 0),
            row(90, "flux-2", 1_000_000, 3),
            // Of before.
            row(70, "flux-2", 7_000_000, 3),
        ];
        let spent = spent(&catalogue, &rows, 100);
        assert_eq!(spent.total, "6<small>.5</small>");
        assert_eq!(
            (spent.lately, spent.free, spent.share().as_str()),
            (9, 1, "11.1 %")
        );
        let html = spent.chart.to_string();
        for text in ["Chat <b>2</b>", "Images <b>4</b>", "Other <b>0.5</b>"] {
            assert!(html.contains(text), "{text}\n{html}");
        }
        assert!(!html.contains("Video"));
    }
}
