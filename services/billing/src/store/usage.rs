//! Sums of what was used, by day and by whatever is asked for.

use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use super::row;
use crate::{
    Error,
    usage::{Group, Span, Sum},
};

/// Sums over a span of days, in groups, at most so many. The groups' columns are empty where they are not asked for.
pub(crate) async fn sums(
    connection: &mut AnyConnection,
    span: &Span,
    groups: &[Group],
    most: usize,
) -> Result<Vec<Sum>, Error> {
    let part = |group: Group, column: &'static str, else_: &'static str| {
        if groups.contains(&group) {
            column
        } else {
            else_
        }
    };
    let (day, key) = (part(Group::Day, "day", "0"), part(Group::Key, "key", "$5"));
    let (model, route) = (
        part(Group::Model, "model", "''"),
        part(Group::Route, "route", "''"),
    );
    let names: Vec<_> = groups.iter().map(|group| group.column()).collect();
    let grouped = if names.is_empty() {
        // One row, and none if nothing was used.
        "having count(*) > 0".to_owned()
    } else {
        let names = names.join(", ");
        format!("group by {names} order by {names}")
    };
    let place = if groups.contains(&Group::Key) { 5 } else { 6 };
    let (table, filters) = narrowed(span, place);
    let sql = format!(
        "select {day} as day, {key} as key, {model} as model, {route} as route,
                cast(sum(operations) as bigint) as operations, cast(sum(free) as bigint) as free,
                cast(sum(charged) as bigint) as charged, cast(sum(input_tokens) as bigint) as input_tokens,
                cast(sum(output_tokens) as bigint) as output_tokens
         from {table} where account = $1 and mode = $2 and day >= $3 and day <= $4{filters} {grouped} limit {most}"
    );
    let mut query = sqlx::query(AssertSqlSafe(sql))
        .bind(span.balance.account.to_vec())
        .bind(span.balance.mode.as_str())
        .bind(span.first)
        .bind(span.last);
    if !groups.contains(&Group::Key) {
        query = query.bind(Vec::new());
    }
    if let Some(tag) = span.tag {
        query = query.bind(tag.to_vec());
    }
    if let Some(model) = &span.model {
        query = query.bind(model.clone());
    }
    if let Some(key) = span.key {
        query = query.bind(key.to_vec());
    }
    let rows = query.fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            Ok(Sum {
                day: row.try_get("day")?,
                key: row::optional_id(row, "key")?,
                model: row.try_get("model")?,
                route: row.try_get("route")?,
                operations: row.try_get("operations")?,
                free: row.try_get("free")?,
                charged: row::micros(row, "charged")?,
                input_tokens: row.try_get("input_tokens")?,
                output_tokens: row.try_get("output_tokens")?,
            })
        })
        .collect()
}

/// The table that a span's sums are in, and what its rows must be: in the order label, model, key, with places from this one on.
fn narrowed(span: &Span, place: usize) -> (&'static str, String) {
    let filters = [
        span.tag.is_some().then_some("tag"),
        span.model.is_some().then_some("model"),
        span.key.is_some().then_some("key"),
    ];
    let filters = (place..)
        .zip(filters.into_iter().flatten())
        .map(|(place, column)| format!(" and {column} = ${place}"));
    let table = match span.tag {
        None => "usage_day",
        Some(_) => "usage_tag_day",
    };
    (table, filters.collect())
}
