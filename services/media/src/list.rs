//! A customer's tasks, page by page.

use std::cmp::Reverse;

use domain::{Caller, TaskId};
use proto::{Fault, code};

use crate::{
    Error, Media,
    state::State,
    store::{list as table, output},
    task::{Output, Task},
};

/// The most tasks of a page: each is up to some ten kilobytes.
pub(crate) const LONGEST_PAGE: u32 = 100;
/// The bytes of an id that are a moment, in milliseconds (RFC 9562, version 7).
const MOMENT_BYTES: usize = 6;

/// Which tasks are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) limit: u32,
    /// Only those before this one.
    pub(crate) before: Option<TaskId>,
    /// How they stand, in a customer's word; empty: however.
    pub(crate) status: String,
    /// The models' slugs; none: whichever.
    pub(crate) models: Vec<String>,
    /// When they were made, in microseconds UTC: from then on, and before then; 0: whenever.
    pub(crate) created: (i64, i64),
}

/// The tasks, the newest first.
pub(crate) async fn list(
    media: &Media,
    caller: &Caller,
    filter: &Filter,
) -> Result<Vec<(Task, Vec<Output>)>, Error> {
    let limit = filter.limit.clamp(1, LONGEST_PAGE);
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let (pool, sealer) = (media.db.reader(), media.secrets.content());
    let states = match filter.status.as_str() {
        "" => vec![None],
        status => states(status)?.into_iter().map(Some).collect(),
    };
    let models: Vec<Option<&String>> = match filter.models.as_slice() {
        [] => vec![None],
        models => models.iter().map(Some).collect(),
    };
    let mut tasks = Vec::new();
    // Each state of each model is a walk along an index.
    for model in models {
        let page = table::Page {
            account: caller.account,
            mode: caller.mode,
            range: range(filter),
            model,
            limit,
        };
        for state in &states {
            let some = table::page(pool, &page, *state, sealer);
            tasks.extend(media.db.read(some).await?);
        }
        tasks.sort_unstable_by_key(|task: &Task| Reverse(task.id));
        // One that moved on between two looks is in both.
        tasks.dedup_by_key(|task| task.id);
        // No more is in memory than is answered, and once as much for each state.
        tasks.truncate(most);
    }
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
    let mut outputs = media.db.read(output::of_tasks(pool, &ids, sealer)).await?;
    let now = media.db.now_micros();
    let with_outputs = |task: Task| {
        let mut own = outputs.remove(&task.id).unwrap_or_default();
        own.retain(|output| output.expires_at > now);
        (task, own)
    };
    Ok(tasks.into_iter().map(with_outputs).collect())
}

pub(crate) fn states(status: &str) -> Result<Vec<State>, Fault> {
    let states = State::seen_as(status);
    if states.is_empty() {
        let allowed = "status must be queued, processing, completed or failed";
        return Err(Fault::new(code::INVALID_PARAMETER, allowed).param("status"));
    }
    Ok(states)
}

/// The first id that is wanted, and the one before which all wanted ones are. Ids begin with the moment they were made at.
fn range(filter: &Filter) -> (Vec<u8>, Vec<u8>) {
    let (from, until) = filter.created;
    let end = match until {
        0 => vec![u8::MAX; 16],
        until => first_of(until),
    };
    let before = filter.before.map_or_else(|| end.clone(), TaskId::to_vec);
    (first_of(from), before.min(end))
}

/// The first id that could have been made at a moment, in microseconds UTC.
pub(crate) fn first_of(moment: i64) -> Vec<u8> {
    let millis = moment.div_euclid(1_000).max(0).to_be_bytes();
    let mut id = millis
        .get(millis.len().saturating_sub(MOMENT_BYTES)..)
        .unwrap_or_default()
        .to_vec();
    id.resize(16, 0);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_lies_between_the_moments_around_its_own() {
        let id: TaskId = chassis::mint();
        let now = chassis::clock::now_micros();
        let within = |created, before| {
            let (first, end) = range(&Filter {
                created,
                before,
                ..Filter::default()
            });
            (first..end).contains(&id.to_vec())
        };
        assert!(within((0, 0), None));
        assert!(within((now - 1_000_000, now + 1_000_000), None));
        assert!(!within((now + 1_000_000, 0), None));
        assert!(!within((0, now - 1_000_000), None));
        assert!(!within((0, 0), Some(id)));
        assert!(!within((0, now - 1_000_000), Some(chassis::mint())));
        assert!(!within((0, i64::MIN), None));
    }

    #[test]
    fn a_status_is_a_word_that_customers_see() {
        for state in State::ALL {
            let seen = state != State::Reserving;
            let found = states(state.public()).unwrap();
            assert_eq!(found.contains(&state), seen, "{state:?}");
        }
        assert!(states("reserving").is_err() && states("IN_PROGRESS").is_err());
    }
}
