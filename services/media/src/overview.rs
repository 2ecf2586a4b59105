//! Use case for operators: what waits and runs, how providers have done lately, and which of them live keys reach.

use std::collections::BTreeSet;

use db::Backlog;
use domain::Mode;

use crate::{
    Error, Media,
    list::first_of,
    providers_of,
    store::overview::{self as table, RunSum},
};

/// What is seen of everybody's tasks.
#[derive(Clone, Debug)]
pub(crate) struct Overview {
    pub(crate) queued: Backlog,
    /// Tasks that are being submitted, or that a provider has.
    pub(crate) processing: Backlog,
    /// Runs of which nobody knows whether their provider has them.
    pub(crate) unknown: Backlog,
    pub(crate) outbox: Backlog,
    /// How runs of tasks went that were made since a moment.
    pub(crate) runs: Vec<RunSum>,
    /// Only the newest runs are in these sums.
    pub(crate) cut: bool,
    pub(crate) providers: Vec<Configured>,
}

/// A provider that live keys reach.
#[derive(Clone, Debug)]
pub(crate) struct Configured {
    pub(crate) provider: String,
    /// The host of its base URL.
    pub(crate) host: String,
    /// How many credentials are set there.
    pub(crate) credentials: usize,
}

/// Looks. `since`: microseconds UTC.
///
/// # Errors
/// When the database failed.
pub(crate) async fn overview(media: &Media, since: i64) -> Result<Overview, Error> {
    let (db, pool) = (&media.db, media.db.reader());
    let [starting, running] = [
        db.read(Backlog::count(pool, table::STARTING)).await?,
        db.read(Backlog::count(pool, table::RUNNING)).await?,
    ];
    let (runs, cut) = db.read(table::runs(pool, first_of(since))).await?;
    Ok(Overview {
        queued: db.read(Backlog::count(pool, table::QUEUED)).await?,
        processing: together(starting, running),
        unknown: db.read(Backlog::count(pool, table::UNKNOWN)).await?,
        outbox: db.read(db::outbox::backlog(pool)).await?,
        runs,
        cut,
        providers: configured(media),
    })
}

fn together(one: Backlog, other: Backlog) -> Backlog {
    let oldest = [one.oldest, other.oldest]
        .into_iter()
        .filter(|moment| *moment > 0)
        .min();
    Backlog {
        count: one.count.saturating_add(other.count),
        more: one.more || other.more,
        oldest: oldest.unwrap_or(0),
    }
}

fn configured(media: &Media) -> Vec<Configured> {
    let names: BTreeSet<&str> = providers_of(&media.catalogue).collect();
    let known = names.into_iter().filter_map(|name| {
        let accesses = media.accesses.accesses(Mode::Live, name);
        let host = accesses
            .first()?
            .base_url
            .host_str()
            .unwrap_or("")
            .to_owned();
        Some(Configured {
            provider: name.to_owned(),
            host,
            credentials: accesses
                .iter()
                .filter(|access| access.key.is_some())
                .count(),
        })
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_in_two_places_is_one_backlog() {
        let waits = |count, oldest| Backlog {
            count,
            more: false,
            oldest,
        };
        assert_eq!(together(waits(2, 7), waits(0, 0)), waits(2, 7));
        assert_eq!(together(waits(2, 7), waits(1, 3)), waits(3, 3));
    }
}
