//! Pages of the table `task`. Every query walks an index in the order of the page.

use chassis::secrets::Sealer;
use domain::{AccountId, Mode};
use sqlx::{AnyPool, AssertSqlSafe};

use super::task;
use crate::{Error, state::State, task::Task};

/// Which page.
#[derive(Clone, Debug)]
pub(crate) struct Page<'a> {
    pub(crate) account: AccountId,
    pub(crate) mode: Mode,
    /// From this id on, up to before that one.
    pub(crate) range: (Vec<u8>, Vec<u8>),
    pub(crate) model: Option<&'a String>,
    pub(crate) limit: u32,
}

/// Tasks that customers may see, the newest first; with a state, those in it.
pub(crate) async fn page(
    pool: &AnyPool,
    page: &Page<'_>,
    state: Option<State>,
    sealer: &Sealer,
) -> Result<Vec<Task>, Error> {
    let filters = [state.map(|_| "state = "), page.model.map(|_| "model = ")];
    let filters: String = (6..)
        .zip(filters.into_iter().flatten())
        .map(|(place, filter)| format!(" and {filter}${place}"))
        .collect();
    let sql = format!(
        "select {} from task where account = $1 and mode = $2 and id >= $3 and id < $4 and state <> 'reserving'{filters}
         order by id desc limit $5",
        columns!()
    );
    let (from, before) = page.range.clone();
    let mut query = sqlx::query(AssertSqlSafe(sql))
        .bind(page.account.to_vec())
        .bind(page.mode.as_str())
        .bind(from)
        .bind(before)
        .bind(i64::from(page.limit));
    if let Some(state) = state {
        query = query.bind(state.as_str());
    }
    if let Some(model) = page.model {
        query = query.bind(model.clone());
    }
    let rows = query.fetch_all(pool).await?;
    rows.iter().map(|row| task::read(row, sealer)).collect()
}
