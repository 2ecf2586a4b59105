//! The table `cap_told`: which cap of a key its customer was last told to be reached.

use domain::{KeyId, Micros};
use sqlx::{AnyConnection, Row as _, any::AnyRow};
use time::{Date, Month};

use crate::Error;

/// Microseconds of a day, which UTC has no other kind of in the time that computers count; and of a second.
const DAY: i64 = 86_400_000_000;
const SECOND: i64 = 1_000_000;
const MONTHS: i64 = 12;

/// One of a key's caps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cap {
    Day,
    Month,
    Total,
}

/// A cap that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) cap: Cap,
    /// In which day or month, as the budget counts them; 0 of a cap in all.
    pub(crate) span: i64,
    pub(crate) amount: Micros,
    /// In that time.
    pub(crate) spent: Micros,
}

/// What was told of a cap last: a row type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    cap: Cap,
    span: i64,
    amount: Micros,
}

// === impl Cap ===

impl Cap {
    const ALL: [Self; 3] = [Self::Day, Self::Month, Self::Total];

    /// The word in SQL, and in events.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }

    /// When such a day or month has ended, in microseconds UTC; `None` of a cap in all.
    pub(crate) fn ends(self, span: i64) -> Option<i64> {
        match self {
            Self::Day => span.checked_add(1)?.checked_mul(DAY),
            // Months are counted from 1, with twelve to a year.
            Self::Month => {
                let year = i32::try_from(span.div_euclid(MONTHS)).ok()?;
                let month = u8::try_from(span.rem_euclid(MONTHS).checked_add(1)?).ok()?;
                let first = Date::from_calendar_date(year, Month::try_from(month).ok()?, 1).ok()?;
                let moment = first.midnight().assume_utc().unix_timestamp();
                moment.checked_mul(SECOND)
            }
            Self::Total => None,
        }
    }
}

// === impl Told ===

impl Told {
    /// Whether this was told then: not of an earlier day or month, nor of another amount.
    pub(crate) fn covers(&self, reached: &Reached) -> bool {
        let is_later = self.span > reached.span;
        let is_same = self.span == reached.span && self.amount == reached.amount;
        self.cap == reached.cap && (is_later || is_same)
    }
}

/// What was told of a key's caps.
pub(crate) async fn told(connection: &mut AnyConnection, key: KeyId) -> Result<Vec<Told>, Error> {
    let rows = sqlx::query("select cap, span, amount from cap_told where key = $1")
        .bind(key.to_vec())
        .fetch_all(connection)
        .await?;
    rows.iter().map(read).collect()
}

/// Keeps that a cap is told to be reached; says whether it was not yet.
pub(crate) async fn put(
    connection: &mut AnyConnection,
    key: KeyId,
    reached: &Reached,
) -> Result<bool, Error> {
    let kept = sqlx::query(
        "insert into cap_told (key, cap, span, amount) values ($1, $2, $3, $4)
         on conflict (key, cap) do update set span = excluded.span, amount = excluded.amount
         where cap_told.span < excluded.span
            or (cap_told.span = excluded.span and cap_told.amount <> excluded.amount)",
    )
    .bind(key.to_vec())
    .bind(reached.cap.as_str())
    .bind(reached.span)
    .bind(reached.amount.get())
    .execute(connection)
    .await?;
    Ok(kept.rows_affected() > 0)
}

fn read(row: &AnyRow) -> Result<Told, Error> {
    let cap = Cap::parse(row.try_get("cap")?);
    Ok(Told {
        cap: cap.ok_or(Error::Corrupt("a cap's word is not known"))?,
        span: row.try_get("span")?,
        amount: Micros::new(row.try_get("amount")?),
    })
}
