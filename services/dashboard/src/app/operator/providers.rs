//! `/operator/providers`: who is configured, how credentials do as one process sees them, and how work went there lately.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use askama::Template;
use axum::{extract::State, response::IntoResponse as _};
use domain::{KnownProvider, Mode, catalogue::Category, charge::Ending};
use proto::{
    billing::v1::{self as billing, ServedSum},
    chat::v1::{Credential, GetHealthRequest},
    media::v1::{self as media, RunSum},
    mode_to_wire,
};

use super::{Cell, DAY, PART, Table, Tabs, answered, duration, now, share};
use crate::{
    Site,
    app::Frame,
    page::Page,
    refused::Answer,
    show,
    who::{Member, Operates},
};

/// Models that are named of a provider.
const MOST_NAMES: usize = 6;

#[derive(Template)]
#[template(path = "app/operator/providers.html")]
struct Html<'s> {
    frame: Frame<'s>,
    tabs: Tabs,
    /// Services that do not answer: what is said here is without them.
    silent: Vec<&'static str>,
    providers: Table,
    breakers: Table,
    /// Only the newest runs are counted.
    is_cut: bool,
    runs: Table,
    endings: Table,
}

/// What is known of a provider.
#[derive(Debug, Default)]
struct Provider {
    models: BTreeSet<String>,
    /// Who asks it.
    by: BTreeSet<&'static str>,
    hosts: BTreeSet<String>,
    credentials: usize,
}

/// The page.
pub(crate) async fn page(State(site): State<Arc<Site>>, member: Member<Operates>) -> Answer {
    let since = now().saturating_sub(DAY);
    let peers = &site.peers;
    let (mut chat, mut work, mut money) = (
        peers.operators.chat.clone(),
        peers.operators.media.clone(),
        peers.operators.billing.clone(),
    );
    let (health, seen, sums) = tokio::join!(
        answered("chat", chat.get_health(peers.ask(GetHealthRequest {}))),
        answered(
            "media",
            work.get_overview(peers.ask(media::GetOverviewRequest { since }))
        ),
        answered(
            "billing",
            money.get_overview(peers.ask(billing::GetOverviewRequest { since }))
        ),
    );
    let silent = [
        ("chat", health.is_none()),
        ("media", seen.is_none()),
        ("billing", sums.is_none()),
    ];
    let credentials = health.unwrap_or_default().credentials;
    let seen = seen.unwrap_or_default();
    let html = Html {
        frame: Frame::new(&site, &member, PART, "Providers"),
        tabs: Tabs("/operator/providers"),
        silent: silent
            .into_iter()
            .filter_map(|(name, silent)| silent.then_some(name))
            .collect(),
        providers: configured(&site, &credentials, &seen.providers),
        breakers: breakers(&credentials),
        is_cut: seen.cut,
        runs: runs(&seen.runs),
        endings: endings(&sums.unwrap_or_default().served),
    };
    Ok(Page::html(&html).into_response())
}

/// Every provider that a model names.
fn configured(
    site: &Site,
    credentials: &[Credential],
    media: &[media::ConfiguredProvider],
) -> Table {
    let mut all: BTreeMap<&str, Provider> = BTreeMap::new();
    for model in site.catalogue.models() {
        let by = match model.category {
            Category::Chat | Category::Embedding => "chat",
            Category::Image
            | Category::Video
            | Category::Music
            | Category::Speech
            | Category::Transcription
            | Category::Tool => "media",
        };
        for route in &model.providers {
            let provider = all.entry(&route.provider).or_default();
            provider.models.insert(model.slug.clone());
            provider.by.insert(by);
        }
    }
    for credential in credentials {
        if let Some(provider) = all.get_mut(credential.provider.as_str()) {
            provider.hosts.insert(credential.host.clone());
            let place = usize::try_from(credential.place).unwrap_or_default();
            provider.credentials = provider.credentials.max(place);
        }
    }
    for known in media {
        if let Some(provider) = all.get_mut(known.provider.as_str()) {
            provider.hosts.insert(known.host.clone());
            let count = usize::try_from(known.credentials).unwrap_or_default();
            provider.credentials = provider.credentials.max(count);
        }
    }
    let columns = [
        "Provider",
        "Live keys",
        "Where it is",
        "Asked by",
        "#Models",
        "Which",
    ];
    // Those that live keys reach come first.
    let (reached, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(_, of)| !of.hosts.is_empty());
    Table::new("Providers", &columns).with(reached.into_iter().chain(others).map(provider))
}

fn provider((name, of): (&str, Provider)) -> Vec<Cell> {
    let live = match (of.hosts.is_empty(), of.credentials) {
        (true, _) => {
            let variable = KnownProvider::find(name).map(|known| known.variable);
            let setting = variable.map_or_else(
                || format!("set providers.{name}.base_url"),
                |variable| format!("set {variable}"),
            );
            Cell::badge("", "not configured").over(setting)
        }
        (false, 0) => Cell::badge("good", "configured").over("asks for no credential"),
        (false, 1) => Cell::badge("good", "configured").over("1 credential"),
        (false, count) => Cell::badge("good", "configured").over(format!("{count} credentials")),
    };
    let joined = |words: Vec<String>| words.join(", ");
    vec![
        Cell::code(name),
        live,
        Cell::text(joined(of.hosts.into_iter().collect())),
        Cell::text(of.by.into_iter().collect::<Vec<_>>().join(", ")),
        Cell::text(of.models.len().to_string()),
        Cell::text(few(&of.models)),
    ]
}

/// Names, the first of many.
fn few(names: &BTreeSet<String>) -> String {
    let shown: Vec<&str> = names.iter().take(MOST_NAMES).map(String::as_str).collect();
    match names.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn breakers(credentials: &[Credential]) -> Table {
    let row = |credential: &Credential| {
        let wait = i64::try_from(credential.wait_ms).unwrap_or(i64::MAX);
        let wait = duration(wait.saturating_mul(1_000));
        let state = match credential.state.as_str() {
            "closed" => Cell::badge("good", "asked"),
            "half_open" => Cell::badge("bad", "one request tries"),
            "open" => Cell::badge("bad", "left alone").over(format!("for {wait} more")),
            "limited" => Cell::badge("bad", "asked last")
                .over(format!("it asked us to slow down, for {wait} more")),
            other => Cell::badge("", other),
        };
        vec![
            Cell::code(&credential.provider).over(format!("credential {}", credential.place)),
            state,
            Cell::text(show::count(credential.failures)),
            Cell::text(show::count(credential.open)),
        ]
    };
    let columns = [
        "Credential",
        "State",
        "#Failures in a row",
        "#Open requests",
    ];
    Table::new("Credentials of chat", &columns)
        .or("No provider of chat is configured for live keys.")
        .with(credentials.iter().map(row))
}

/// How media's runs went, a row for each provider and mode.
fn runs(sums: &[RunSum]) -> Table {
    let mut all: BTreeMap<(&str, i32), [i64; 5]> = BTreeMap::new();
    for sum in sums {
        let row = all.entry((&sum.provider, sum.mode)).or_default();
        let place = match sum.outcome.as_str() {
            "succeeded" => 1,
            "failed" => 2,
            "refused" => 3,
            "unknown" => 4,
            // It runs still: it counts in all of them alone.
            _ => 0,
        };
        for (at, count) in row.iter_mut().enumerate() {
            if at == 0 || at == place {
                *count = count.saturating_add(sum.runs);
            }
        }
    }
    let row = |((provider, mode), counts): ((&str, i32), [i64; 5])| {
        let [all, well, failed, refused, unknown] = counts;
        let ended = well.saturating_add(failed).saturating_add(refused);
        let mut cells = vec![Cell::code(provider), Cell::text(mode_word(mode))];
        cells.extend(
            [all, well, failed, refused, unknown].map(|count| Cell::text(show::count(count))),
        );
        cells.push(Cell::text(share(well, ended)));
        cells
    };
    let columns = [
        "Provider",
        "Mode",
        "#Runs",
        "#Succeeded",
        "#Failed",
        "#Refused",
        "#Unknown",
        "#Success",
    ];
    Table::new("Runs of tasks", &columns)
        .or("No task was given to a provider in the last 24 hours.")
        .with(all.into_iter().map(row))
}

/// How operations ended, a row for each provider and mode.
fn endings(sums: &[ServedSum]) -> Table {
    let mut all: BTreeMap<(&str, i32), (i64, i64, i64)> = BTreeMap::new();
    for sum in sums.iter().filter(|sum| !sum.provider.is_empty()) {
        let row = all.entry((&sum.provider, sum.mode)).or_default();
        row.0 = row.0.saturating_add(sum.operations);
        if is_failure(sum) {
            row.1 = row.1.saturating_add(sum.operations);
        }
        row.2 = row.2.saturating_add(sum.charged);
    }
    let row = |((provider, mode), (all, failed, charged)): ((&str, i32), (i64, i64, i64))| {
        vec![
            Cell::code(provider),
            Cell::text(mode_word(mode)),
            Cell::text(show::count(all)),
            Cell::text(show::count(failed)),
            Cell::text(share(failed, all)),
            Cell::text(show::credits(charged)),
        ]
    };
    let columns = [
        "Provider",
        "Mode",
        "#Operations",
        "#Failed",
        "#Share",
        "#Charged, credits",
    ];
    Table::new("Operations", &columns)
        .or("Nothing was served in the last 24 hours.")
        .with(all.into_iter().map(row))
}

/// Whether work ended so that neither it nor its customer is content: not as asked for, and not by the customer's own doing.
pub(super) fn is_failure(sum: &ServedSum) -> bool {
    match Ending::parse(&sum.class) {
        // No receipt says.
        None => sum.outcome != "captured",
        Some(
            Ending::Completed
            | Ending::ClientLeft
            | Ending::SlowReader
            | Ending::Cancelled
            | Ending::Moderated
            | Ending::Invalid
            | Ending::TooLong,
        ) => false,
        Some(_) => true,
    }
}

/// A mode of the wire as a word.
pub(super) fn mode_word(mode: i32) -> &'static str {
    let live: i32 = mode_to_wire(Mode::Live).into();
    if mode == live { "live" } else { "test" }
}
