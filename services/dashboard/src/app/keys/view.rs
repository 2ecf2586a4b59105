//! A key as pages show it.

use domain::{KeyId, Mode};
use proto::{billing::v1 as wire, mode_from_wire};

use super::form::Fields;
use crate::{
    Site, now,
    refused::Refused,
    show::{self, Time},
};

/// A key.
#[derive(Debug)]
pub(crate) struct KeyView {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Its beginning and its end: `aio_test_…w3Zk`.
    pub(crate) known_by: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) limits: Limits,
    /// What it has spent of each cap.
    pub(crate) meters: Vec<Meter>,
    pub(crate) times: Times,
    /// The secret before the last rotation, while it works: its end, and until when.
    pub(crate) previous: Option<(String, Time)>,
}

/// What a key is limited to.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Models; empty: all.
    pub(crate) models: Vec<String>,
    /// Addresses; empty: all.
    pub(crate) addresses: Vec<String>,
    /// How much at once, in words; empty: as much as anybody.
    pub(crate) rates: Vec<String>,
}

/// When things happened to a key.
#[derive(Debug)]
pub(crate) struct Times {
    pub(crate) made: Time,
    pub(crate) used: Option<Time>,
    pub(crate) expires: Option<Time>,
    /// Whether that has passed.
    pub(crate) expired: bool,
    pub(crate) revoked: Option<Time>,
}

/// What is spent of a cap.
#[derive(Debug)]
pub(crate) struct Meter {
    /// `today`, `this month` or `in all`.
    pub(crate) span: &'static str,
    /// In credits.
    pub(crate) spent: String,
    pub(crate) cap: String,
    /// From 0 to 100.
    pub(crate) percent: i64,
}

/// A key that was just made, or its new secret.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) id: String,
    /// The whole key.
    pub(crate) key: String,
    /// A command that works as it stands.
    pub(crate) curl: String,
    /// Of a rotation: until when the old secret works, if it does.
    pub(crate) previous: Option<Option<Time>>,
}

// === impl KeyView ===

impl KeyView {
    /// What is shown of a key.
    ///
    /// # Errors
    /// When billing sent what is none.
    pub(crate) fn of(key: wire::Key) -> Result<Self, Refused> {
        let id: KeyId = proto::id_from_wire(&key.key_id)?;
        let begins = match mode_from_wire(key.mode)? {
            Mode::Test => "aio_test_",
            Mode::Live => "aio_",
        };
        let ends = |last_four: &str| format!("{begins}…{last_four}");
        let previous = key.previous.as_ref();
        Ok(Self {
            id: id.to_string(),
            known_by: ends(&key.last_four),
            previous: previous.map(|old| (ends(&old.last_four), Time::of(old.until))),
            meters: key.budget.as_ref().map(meters).unwrap_or_default(),
            times: Times::of(&key),
            limits: Limits {
                rates: rates(&key),
                models: key.models,
                addresses: key.ip_allow,
            },
            scopes: key.scopes,
            name: key.name,
        })
    }

    /// Whether it has spent what it may.
    pub(crate) fn is_spent(&self) -> bool {
        self.meters.iter().any(|meter| meter.percent >= 100)
    }
}

// === impl Times ===

impl Times {
    fn of(key: &wire::Key) -> Self {
        let some = |micros: i64| (micros != 0).then(|| Time::of(micros));
        Self {
            made: Time::of(key.created_at),
            used: some(key.last_used_at),
            expires: some(key.expires_at),
            expired: key.expires_at != 0 && key.expires_at <= now().micros(),
            revoked: some(key.revoked_at),
        }
    }
}

fn rates(key: &wire::Key) -> Vec<String> {
    [
        (key.rpm, "requests a minute"),
        (key.concurrency, "requests at once"),
        (key.max_open_tasks, "open tasks"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{} {what}", show::count(count)))
    .collect()
}

fn meters(budget: &wire::Budget) -> Vec<Meter> {
    let caps = budget.caps.unwrap_or_default();
    [
        ("today", budget.spent_day, caps.day),
        ("this month", budget.spent_month, caps.month),
        ("in all", budget.spent_total, caps.total),
    ]
    .into_iter()
    .filter_map(|(span, spent, cap)| {
        let cap = cap?;
        Some(Meter {
            span,
            spent: show::credits(spent),
            cap: show::credits(cap),
            percent: percent(spent, cap),
        })
    })
    .collect()
}

/// How much of a cap is spent, from 0 to 100; 100 only if all is.
fn percent(spent: i64, cap: i64) -> i64 {
    let part = i128::from(spent)
        .saturating_mul(100)
        .checked_div(i128::from(cap))
        .unwrap_or(100);
    i64::try_from(part.clamp(0, 100)).unwrap_or(100)
}

// === impl Made ===

impl Made {
    /// What is shown of a new secret, once.
    pub(crate) fn new(site: &Site, id: KeyId, key: String, fields: &Fields) -> Self {
        Self {
            curl: fields.curl(site, &key),
            id: id.to_string(),
            key,
            previous: None,
        }
    }

    /// The same of a rotation: the old secret works until then, in microseconds UTC; 0: it does not any more.
    pub(crate) fn replacing(self, until: i64) -> Self {
        Self {
            previous: Some((until != 0).then(|| Time::of(until))),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_is_full_when_all_of_it_is_spent() {
        for (spent, cap, part) in [
            (0, 10, 0),
            (1, 3, 33),
            (999, 1_000, 99),
            (10, 10, 100),
            (11, 10, 100),
            (0, 0, 100),
            (i64::MAX, i64::MAX, 100),
        ] {
            assert_eq!(percent(spent, cap), part, "{spent} of {cap}");
        }
    }
}
