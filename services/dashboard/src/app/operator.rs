//! `/operator`: what operators see and do. Each page is a file here; what they have in common is below.

mod account;
mod accounts;
mod audit;
mod codes;
mod desk;
mod diff;
mod log;
mod models;
mod overview;
mod prices;
mod providers;
mod settings;
mod table;
mod tasks;
mod webhooks;

pub(crate) use desk::Desk;

use axum::routing::{get, post};
use chassis::{clock::now_micros, telemetry::causes};
use domain::{Id, ids::Kind};
use proto::common::v1::Backlog;
use tonic::{Response, Status};
use tracing::warn;

use self::table::{Cell, Table};
use crate::{refused::Refused, router::Row, show};

/// Its URLs.
pub(crate) const ROUTES: &[Row] = &[
    ("/operator", || get(overview::page)),
    ("/operator/providers", || get(providers::page)),
    ("/operator/models", || get(models::list)),
    ("/operator/models/{*slug}", || get(models::page)),
    ("/operator/prices", || get(prices::page)),
    ("/operator/accounts", || get(accounts::page)),
    ("/operator/accounts/{id}", || get(account::page)),
    ("/operator/accounts/{id}/credits", || {
        post(account::add_credits)
    }),
    ("/operator/accounts/{id}/standing", || {
        post(account::set_standing)
    }),
    ("/operator/accounts/{id}/factor", || {
        post(account::set_factor)
    }),
    ("/operator/accounts/{id}/retention", || {
        post(account::set_retention)
    }),
    ("/operator/accounts/{id}/keys", || post(account::revoke_key)),
    ("/operator/codes", || get(codes::page).post(codes::make)),
    ("/operator/codes/revoke", || post(codes::revoke)),
    ("/operator/audit", || get(audit::page).post(audit::run)),
    ("/operator/tasks", || get(tasks::list)),
    ("/operator/tasks/{id}", || get(tasks::page)),
    ("/operator/tasks/{id}/requeue", || post(tasks::requeue)),
    ("/operator/tasks/{id}/stop", || post(tasks::stop)),
    ("/operator/webhooks", || get(webhooks::page)),
    ("/operator/webhooks/recover", || post(webhooks::recover)),
    ("/operator/webhooks/secret", || post(webhooks::secret)),
    ("/operator/webhooks/{id}", || get(webhooks::delivery)),
    ("/operator/webhooks/{id}/replay", || post(webhooks::replay)),
    ("/operator/log", || get(log::page)),
    ("/operator/settings", || get(settings::page)),
];

/// The pages in their order: path and name.
const TABS: [(&str, &str); 11] = [
    ("/operator", "Overview"),
    ("/operator/providers", "Providers"),
    ("/operator/models", "Routes"),
    ("/operator/prices", "Price book"),
    ("/operator/accounts", "Accounts"),
    ("/operator/codes", "Codes"),
    ("/operator/audit", "Ledger audit"),
    ("/operator/tasks", "Jobs"),
    ("/operator/webhooks", "Webhooks"),
    ("/operator/log", "Audit log"),
    ("/operator/settings", "Settings"),
];

/// Where the frame stands for all of them.
const PART: &str = "/operator";

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;
/// Of a day.
const DAY: i64 = 86_400 * SECOND;

/// The navigation among the operator's pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tabs(&'static str);

/// A figure with its name, and what else is to be known of it.
#[derive(Clone, Debug)]
pub(crate) struct Stat {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) note: String,
    /// Somebody should look.
    pub(crate) bad: bool,
}

// === impl Tabs ===

impl Tabs {
    /// Path, name, and whether it is here.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'static str, &'static str, bool)> {
        TABS.into_iter()
            .map(move |(path, name)| (path, name, path == self.0))
    }
}

// === impl Stat ===

impl Stat {
    fn new(name: &'static str, value: impl Into<String>, note: impl Into<String>) -> Self {
        Self {
            name,
            value: value.into(),
            note: note.into(),
            bad: false,
        }
    }

    /// Somebody should look where this is above zero.
    fn watched(self, figure: i64) -> Self {
        Self {
            bad: figure > 0,
            ..self
        }
    }

    /// What waits, and since when.
    fn backlog(name: &'static str, waits: Option<Backlog>, now: i64) -> Self {
        let waits = waits.unwrap_or_default();
        let more = if waits.more { "+" } else { "" };
        let note = match waits.oldest {
            0 => "none".to_owned(),
            oldest => format!("the oldest since {}", age(now, oldest)),
        };
        Self::new(name, format!("{}{more}", show::count(waits.count)), note)
    }
}

/// How long ago a moment is: `12 s`, `5 min`, `3 h`, `2 d`.
fn age(now: i64, then: i64) -> String {
    duration(now.saturating_sub(then).max(0))
}

/// So many microseconds in words.
fn duration(micros: i64) -> String {
    let seconds = micros.div_euclid(SECOND);
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds.div_euclid(60)),
        7_200..172_800 => format!("{} h", seconds.div_euclid(3_600)),
        _ => format!("{} d", seconds.div_euclid(86_400)),
    }
}

/// A part in percent, in whole tenths: `12.5 %`; nothing of nothing.
fn share(part: i64, whole: i64) -> String {
    let tenths = part
        .saturating_mul(1_000)
        .checked_div(whole)
        .unwrap_or_default();
    format!("{}.{} %", tenths.div_euclid(10), tenths.rem_euclid(10))
}

/// What a service answers, for a page that stands without it; `None`: it does not, which is logged.
async fn answered<T>(
    name: &'static str,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Option<T> {
    match call.await {
        Ok(reply) => Some(reply.into_inner()),
        Err(status) => {
            warn!(service = name, error = %causes(&status), "a service does not answer an operator's page");
            None
        }
    }
}

/// An id out of a URL; one that is none is nobody's.
fn id_of<K: Kind>(text: &str) -> Result<Id<K>, Refused> {
    Id::parse(text).ok_or_else(Refused::not_found)
}

/// An id out of a query or a form, where none says nothing.
fn maybe_id<K: Kind>(text: &str) -> Result<Option<Id<K>>, Refused> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    id_of(text).map(Some)
}

/// An id as the wire has it; nothing is empty.
fn bytes<K: Kind>(id: Option<Id<K>>) -> Vec<u8> {
    id.map(Id::to_vec).unwrap_or_default()
}

/// A moment of the wire, as a cell; 0 is none.
fn moment(micros: i64) -> Cell {
    match micros {
        0 => Cell::text("–"),
        micros => Cell::time(micros),
    }
}

/// A path with a query of what is not empty.
fn href(path: &str, query: &[(&str, &str)]) -> String {
    let said = query.iter().filter(|(_, value)| !value.is_empty());
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(said)
        .finish();
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    }
}

/// Now, in microseconds UTC.
fn now() -> i64 {
    now_micros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_shares_are_short() {
        for (micros, text) in [
            (0, "0 s"),
            (119 * SECOND, "119 s"),
            (121 * SECOND, "2 min"),
            (3 * 3_600 * SECOND, "3 h"),
            (3 * DAY, "3 d"),
        ] {
            assert_eq!(duration(micros), text);
        }
        assert_eq!(age(5, 9), "0 s", "a clock may be behind another");
        assert_eq!(
            (share(1, 8), share(0, 0)),
            ("12.5 %".into(), "0.0 %".into())
        );
    }

    #[test]
    fn a_query_says_what_is_not_empty() {
        assert_eq!(href("/a", &[("q", ""), ("b", "1 2")]), "/a?b=1+2");
        assert_eq!(href("/a", &[("q", "")]), "/a");
    }
}
