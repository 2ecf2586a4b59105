//! The projection on a SQLite file, whose rows are bound here.

use std::collections::BTreeMap;

use domain::KeyId;
use rusqlite::{CachedStatement, Connection, params_from_iter};

use super::{Bucket, ENDINGS, Ending, Explained, JOB, Served, ServedSums, Sums, others};
use crate::{
    Error,
    store::{
        columns::{Value, prepared},
        operation::{self, OperationRow},
        tag::TagId,
    },
};

const KNOWN: &str =
    "select id, account, mode, key, route, model, provider, outcome, held, charged, written_off, input_tokens,
            output_tokens, price_version, created_at, ended_at, ending
     from operation where id = ?1";

const WRITE: &str =
    "insert into operation (id, account, mode, key, route, model, provider, outcome, held, charged, written_off,
                            input_tokens, output_tokens, price_version, created_at, ended_at, ending)
     values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
     on conflict (id) do update set
       route = excluded.route, model = excluded.model, provider = excluded.provider, outcome = excluded.outcome,
       charged = excluded.charged, written_off = excluded.written_off, input_tokens = excluded.input_tokens,
       output_tokens = excluded.output_tokens, ended_at = excluded.ended_at, ending = excluded.ending";

const ADD: &str =
    "insert into usage_day (account, mode, day, key, model, route, operations, free, charged, input_tokens, output_tokens)
     values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
     on conflict (account, mode, day, key, model, route) do update set
       operations = operations + excluded.operations, free = free + excluded.free, charged = charged + excluded.charged,
       input_tokens = input_tokens + excluded.input_tokens, output_tokens = output_tokens + excluded.output_tokens";

const ADD_TO_LABEL: &str =
    "insert into usage_tag_day (account, mode, day, key, model, route, operations, free, charged, input_tokens,
                                output_tokens, tag)
     values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
     on conflict (account, mode, tag, day, key, model, route) do update set
       operations = operations + excluded.operations, free = free + excluded.free, charged = charged + excluded.charged,
       input_tokens = input_tokens + excluded.input_tokens, output_tokens = output_tokens + excluded.output_tokens";

const ADD_TO_HOUR: &str =
    "insert into served_hour (hour, mode, model, provider, outcome, class, operations, charged, written_off, counted, counted_charged,
                              input_tokens, cached_tokens, audio_input_tokens, output_tokens, reasoning_tokens, audio_output_tokens)
     values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
     on conflict (hour, mode, model, provider, outcome, class) do update set
       operations = operations + excluded.operations, charged = charged + excluded.charged,
       written_off = written_off + excluded.written_off, counted = counted + excluded.counted,
       counted_charged = counted_charged + excluded.counted_charged,
       input_tokens = input_tokens + excluded.input_tokens, cached_tokens = cached_tokens + excluded.cached_tokens,
       audio_input_tokens = audio_input_tokens + excluded.audio_input_tokens, output_tokens = output_tokens + excluded.output_tokens,
       reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens,
       audio_output_tokens = audio_output_tokens + excluded.audio_output_tokens";

const LABEL: &str = "insert into operation_tag (account, mode, tag, operation) values (?1, ?2, ?3, ?4) on conflict do nothing";

/// How far the job has come.
pub(crate) fn progress(connection: &Connection) -> Result<i64, Error> {
    let mut statement = prepared(connection, "select upto from progress where job = ?1")?;
    let upto = statement.query_row([JOB], |row| row.get(0));
    Ok(upto.map_err(db::Error::from)?)
}

/// Moves the job on.
pub(crate) fn advance(connection: &Connection, to: i64) -> Result<(), Error> {
    let mut statement = prepared(connection, "update progress set upto = ?1 where job = ?2")?;
    let moved = statement.execute((to, JOB)).map_err(db::Error::from)?;
    if moved == 1 {
        Ok(())
    } else {
        Err(Error::Corrupt("the projection's progress is not there"))
    }
}

/// Endings after one, up to another, in order.
pub(crate) fn endings(
    connection: &Connection,
    (after, upto): (i64, i64),
    limit: i64,
) -> Result<Vec<Ending>, Error> {
    let mut statement = prepared(connection, ENDINGS)?;
    let mut rows = statement
        .query((after, upto, limit))
        .map_err(db::Error::from)?;
    let mut endings = Vec::new();
    while let Some(row) = rows.next().map_err(db::Error::from)? {
        endings.push(Ending::read(row)?);
    }
    Ok(endings)
}

/// Operations of these endings that are there already.
pub(crate) fn known(
    connection: &Connection,
    endings: &[Ending],
) -> Result<Vec<OperationRow>, Error> {
    let mut known = Vec::new();
    for id in others(endings) {
        let mut statement = prepared(connection, KNOWN)?;
        let mut rows = statement.query([Value::Id(id)]).map_err(db::Error::from)?;
        let row = rows.next().map_err(db::Error::from)?;
        known.extend(row.map(operation::read).transpose()?);
    }
    Ok(known)
}

/// Writes operations; one that is there is written anew.
pub(crate) fn write(connection: &Connection, rows: &[Explained]) -> Result<(), Error> {
    let mut statement = prepared(connection, WRITE)?;
    for row in rows {
        run(&mut statement, &values(&row.operation))?;
    }
    Ok(())
}

/// Notes which operations have labels. What is noted already stays.
pub(crate) fn label(connection: &Connection, rows: &[Explained]) -> Result<(), Error> {
    let mut statement = prepared(connection, LABEL)?;
    for row in rows {
        let [account, mode] = Value::of_balance(row.operation.balance);
        for tag in &row.tags {
            let operation = Value::of(row.operation.id);
            run(&mut statement, &[account, mode, tag.into(), operation])?;
        }
    }
    Ok(())
}

/// Adds to the sums of days, and to those of days and labels.
pub(crate) fn add(connection: &Connection, sums: &BTreeMap<Bucket<'_>, Sums>) -> Result<(), Error> {
    let mut to_day = prepared(connection, ADD)?;
    let mut to_label = prepared(connection, ADD_TO_LABEL)?;
    for (bucket, sums) in sums {
        let values = summed(bucket, sums);
        match &bucket.tag {
            None => run(&mut to_day, &values)?,
            Some(tag) => {
                let values = values.into_iter().chain([Value::from(tag)]);
                run(&mut to_label, &values.collect::<Vec<_>>())?;
            }
        }
    }
    Ok(())
}

/// Adds to the sums of hours.
pub(crate) fn serve(
    connection: &Connection,
    sums: &BTreeMap<Served<'_>, ServedSums>,
) -> Result<(), Error> {
    let mut statement = prepared(connection, ADD_TO_HOUR)?;
    for (of, sums) in sums {
        let values = [
            Value::Int(of.hour),
            Value::Text(of.mode),
            Value::Text(of.model),
            Value::Text(of.provider),
            Value::Text(of.outcome),
            Value::Text(of.class),
            Value::Int(sums.operations),
            Value::Int(sums.charged),
            Value::Int(sums.written_off),
            Value::Int(sums.counted),
            Value::Int(sums.counted_charged),
        ];
        let values = values.into_iter().chain(sums.tokens.map(Value::Int));
        run(&mut statement, &values.collect::<Vec<_>>())?;
    }
    Ok(())
}

fn run(statement: &mut CachedStatement<'_>, values: &[Value<'_>]) -> Result<(), Error> {
    let done = statement.execute(params_from_iter(values));
    done.map_err(db::Error::from)?;
    Ok(())
}

fn values(row: &OperationRow) -> [Value<'_>; 17] {
    let [account, mode] = Value::of_balance(row.balance);
    [
        Value::of(row.id),
        account,
        mode,
        key(row.key),
        Value::Text(&row.route),
        Value::Text(&row.model),
        Value::Text(&row.provider),
        Value::Text(&row.outcome),
        Value::Int(row.held.get()),
        Value::Int(row.charged.get()),
        Value::Int(row.written_off.get()),
        Value::Int(row.input_tokens),
        Value::Int(row.output_tokens),
        Value::Text(&row.price_version),
        Value::Int(row.created_at),
        Value::Int(row.ended_at),
        Value::Int(row.ending),
    ]
}

fn summed<'a>(bucket: &Bucket<'a>, sums: &Sums) -> [Value<'a>; 11] {
    let [account, mode] = Value::of_balance(bucket.balance);
    [
        account,
        mode,
        Value::Int(bucket.day),
        key(bucket.key),
        Value::Text(bucket.model),
        Value::Text(bucket.route),
        Value::Int(sums.operations),
        Value::Int(sums.free),
        Value::Int(sums.charged),
        Value::Int(sums.input_tokens),
        Value::Int(sums.output_tokens),
    ]
}

/// A key, where nobody's is empty.
fn key<'a>(key: Option<KeyId>) -> Value<'a> {
    key.map_or(Value::Bytes(&[]), Value::of)
}

impl<'a> From<&'a TagId> for Value<'a> {
    fn from(tag: &'a TagId) -> Self {
        Self::Bytes(tag.as_bytes())
    }
}
