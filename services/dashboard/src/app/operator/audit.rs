//! `/operator/audit`: every entry of the ledger replayed, on demand, one at a time in this process.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse as _, Redirect},
};
use chassis::rpc;
use http::{HeaderValue, header};
use proto::billing::v1::{AuditCheck, AuditRequest};
use tracing::{info, info_span};

use super::{Cell, PART, Table, Tabs, answered, duration, now};
use crate::{
    Site,
    app::{
        Frame,
        operator::desk::{Audit, Turn},
    },
    page::Page,
    refused::Answer,
    show::{self, Time},
    who::{Member, Operates},
};

/// How often a browser looks again while it runs, in seconds.
const LOOK_AGAIN: HeaderValue = HeaderValue::from_static("1");

#[derive(Template)]
#[template(path = "app/operator/audit.html")]
struct Html<'s> {
    frame: Frame<'s>,
    tabs: Tabs,
    /// How long it runs already, if it does, and how long the last one took.
    running: Option<(String, String)>,
    /// When the last one ended, and how long it took.
    ended: Option<(Time, String)>,
    /// Whether every promise holds; `None`: nobody knows.
    ok: Option<bool>,
    /// The last one failed.
    failed: bool,
    checks: Table,
    figures: Table,
}

/// How it stands.
pub(crate) async fn page(State(site): State<Arc<Site>>, member: Member<Operates>) -> Answer {
    let audit = site.desk.audit();
    let mut html = Html {
        frame: Frame::new(&site, &member, PART, "Ledger audit"),
        tabs: Tabs("/operator/audit"),
        running: None,
        ended: None,
        ok: None,
        failed: false,
        checks: Table::new("Promises", &["Promise", "Holds", "#Breaches"]),
        figures: Table::new("Figures", &["What", "#How many"]),
    };
    match audit {
        Audit::Never => {}
        Audit::Running { since, before } => {
            let before = before.map(|took| format!("The last one took {}.", duration(took)));
            let runs = duration(now().saturating_sub(since).max(0));
            html.running = Some((runs, before.unwrap_or_default()));
        }
        Audit::Ended { between, found } => {
            let took = between.1.saturating_sub(between.0);
            html.ended = Some((Time::of(between.1), millis(took)));
            html.failed = found.is_none();
            if let Some(found) = found {
                html.ok = Some(found.ok);
                let (promises, counts): (Vec<_>, Vec<_>) = found
                    .checks
                    .iter()
                    .partition(|check| !is_count(&check.name));
                html.checks = html.checks.with(promises.into_iter().map(promise));
                html.figures = html.figures.with(counts.into_iter().map(figure));
            }
        }
    }
    let runs = html.running.is_some();
    let mut response = Page::html(&html).into_response();
    if runs {
        response.headers_mut().insert(header::REFRESH, LOOK_AGAIN);
    }
    Ok(response)
}

/// Runs it, unless it runs.
pub(crate) async fn run(State(site): State<Arc<Site>>, member: Member<Operates>) -> Answer {
    if let Some(turn) = site.desk.begin() {
        info!(by = %member.person.id, "an audit of the ledger begins");
        let (own, span) = (Arc::clone(&site), info_span!("operator.audit"));
        site.desk.tasks.spawn(span, replay(own, turn));
    }
    Ok(Redirect::to("/operator/audit").into_response())
}

async fn replay(site: Arc<Site>, turn: Turn) {
    let mut billing = site.peers.billing.clone();
    let request = rpc::request(AuditRequest {}, site.config.operator.audit_patience);
    turn.end(answered("billing", billing.audit(request)).await);
}

/// Whether it counts something, and promises nothing.
fn is_count(name: &str) -> bool {
    matches!(
        name,
        "accounts" | "holds" | "open_holds" | "entries" | "endings" | "seals"
    )
}

fn promise(check: &AuditCheck) -> Vec<Cell> {
    let holds = if check.ok {
        Cell::badge("good", "holds")
    } else {
        Cell::badge("bad", "broken")
    };
    vec![
        Cell::text(words(&check.name)),
        holds,
        Cell::text(show::count(check.figure)),
    ]
}

fn figure(check: &AuditCheck) -> Vec<Cell> {
    vec![
        Cell::text(words(&check.name)),
        Cell::text(show::count(check.figure)),
    ]
}

/// A name as people read it.
fn words(name: &str) -> String {
    let mut text = name.replace('_', " ");
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// So many microseconds, where they are few.
fn millis(micros: i64) -> String {
    match micros.div_euclid(1_000) {
        millis @ ..10_000 => format!("{millis} ms"),
        _ => duration(micros),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_and_times_are_short() {
        assert_eq!(words("no_stuck_holds"), "No stuck holds");
        assert_eq!(millis(12_345), "12 ms");
        assert_eq!(millis(130_000_000), "2 min");
    }
}
