//! Use cases for operators: the house as a whole, everybody's accounts, and the price lists there were. Each is a look at sums that are
//! kept, or at a bounded number of rows.

pub(crate) mod rpc;

use db::{Backlog, Db};
use domain::AccountId;

use crate::{
    Error,
    store::{
        self, AccountRow,
        overview::{BalanceSum, ServedSum, SoldSum},
    },
};

/// Microseconds of an hour.
const HOUR: i64 = 3_600_000_000;
/// The longest name that is looked for, in characters: a longer one is nobody's.
const LONGEST_NAME: usize = 200;

/// The house as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Overview {
    /// All balances, by mode.
    pub(crate) balances: Vec<BalanceSum>,
    /// When the oldest open hold was made, in microseconds UTC; 0: none is open.
    pub(crate) oldest_hold: i64,
    /// How work ended since the moment that was named, from the full hour before on.
    pub(crate) served: Vec<ServedSum>,
    /// Orders since that moment that were paid.
    pub(crate) sold: Vec<SoldSum>,
    /// What webhooks are yet to be told.
    pub(crate) outbox: Backlog,
}

/// Which accounts are looked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Search {
    /// What their names contain, whatever the case; empty: whatever they are called.
    pub(crate) name: String,
    /// Only those older than this one.
    pub(crate) before: Option<AccountId>,
    pub(crate) limit: u32,
}

/// Looks at the house; of work and orders, at those since a moment in microseconds UTC.
///
/// # Errors
/// When the database failed.
pub(crate) async fn overview(db: &Db, since: i64) -> Result<Overview, Error> {
    let outbox = db.read(db::outbox::backlog(db.reader())).await?;
    db.read(async {
        let mut connection = db.reader().acquire().await?;
        Ok(Overview {
            balances: store::overview::balances(&mut connection).await?,
            oldest_hold: store::overview::oldest_hold(&mut connection).await?,
            served: store::overview::served(&mut connection, since.div_euclid(HOUR)).await?,
            sold: store::overview::sold(&mut connection, first_id(since)).await?,
            outbox,
        })
    })
    .await
}

/// Accounts, the newest first.
///
/// # Errors
/// When the database failed.
pub(crate) async fn find_accounts(db: &Db, search: Search) -> Result<Vec<AccountRow>, Error> {
    if search.name.chars().count() > LONGEST_NAME {
        return Ok(Vec::new());
    }
    db.read(async {
        let mut connection = db.reader().acquire().await?;
        let limit = i64::from(search.limit.clamp(1, 1_000));
        store::account::find(
            &mut connection,
            &contains(&search.name),
            search.before,
            limit,
        )
        .await
    })
    .await
}

/// One account.
///
/// # Errors
/// When there is none, or the database failed.
pub(crate) async fn account(db: &Db, id: AccountId) -> Result<AccountRow, Error> {
    let found: Result<_, Error> = db
        .read(async {
            let mut connection = db.reader().acquire().await?;
            store::account::get(&mut connection, id).await
        })
        .await;
    found?.ok_or(Error::NotFound("account"))
}

/// Price lists that were kept, the newest first: version, and when, in microseconds UTC.
///
/// # Errors
/// When the database failed.
pub(crate) async fn price_lists(db: &Db, limit: u32) -> Result<Vec<(String, i64)>, Error> {
    db.read(async {
        let mut connection = db.reader().acquire().await?;
        store::price_list::page(&mut connection, i64::from(limit.clamp(1, 1_000))).await
    })
    .await
}

/// A pattern of `like` for names that contain a text, in lower case; `\` is its escape.
fn contains(name: &str) -> String {
    let mut pattern = "%".to_owned();
    for letter in name.to_lowercase().chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

/// The least id that can have been made at a moment, or after it (RFC 9562, version 7): it begins with the milliseconds.
fn first_id(micros: i64) -> [u8; 16] {
    let millis = u64::try_from(micros.div_euclid(1_000)).unwrap_or(0);
    let mut id = [0; 16];
    // The upper two of eight bytes are empty for some thousand years.
    for (place, byte) in id.iter_mut().zip(millis.to_be_bytes().into_iter().skip(2)) {
        *place = byte;
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_patterns_mean_is_looked_for_as_it_stands() {
        assert_eq!(contains("50%_Off\\"), "%50\\%\\_off\\\\%");
        assert_eq!(contains(""), "%%");
    }

    #[test]
    fn ids_begin_with_their_moment() {
        let id = first_id(1_780_000_000_123_456);
        assert_eq!(id[..6], [0x01, 0x9e, 0x70, 0x44, 0x88, 0x7b]);
        assert_eq!(id[6..], [0; 10]);
        assert_eq!(first_id(-5), [0; 16]);
    }
}
