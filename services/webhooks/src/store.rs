//! All SQL of this service, a file per table, and `due.rs` for what begins. What is sealed comes in and goes out sealed: the keys are elsewhere.

mod array;
pub(crate) mod attempt;
pub(crate) mod delivery;
pub(crate) mod due;
pub(crate) mod ended;
pub(crate) mod endpoint;
pub(crate) mod event;
pub(crate) mod found;
pub(crate) mod lane;
pub(crate) mod overview;
pub(crate) mod secret;

use domain::{Id, Mode, ids::Kind};
use sqlx::{
    Any, AssertSqlSafe, Row as _,
    any::{AnyArguments, AnyRow},
    query::Query,
};

use crate::Error;

/// What is bound to a statement that is put together, in the order of its places.
#[derive(Default)]
struct Bound(Vec<Value>);

enum Value {
    Bytes(Option<Vec<u8>>),
    Text(String),
    Number(Option<i64>),
}

// === impl Bound ===

impl Bound {
    fn bytes(&mut self, bytes: Vec<u8>) -> String {
        self.place(Value::Bytes(Some(bytes)))
    }

    fn perhaps_bytes(&mut self, bytes: Option<Vec<u8>>) -> String {
        self.place(Value::Bytes(bytes))
    }

    fn text(&mut self, text: String) -> String {
        self.place(Value::Text(text))
    }

    fn number(&mut self, number: i64) -> String {
        self.place(Value::Number(Some(number)))
    }

    fn perhaps_number(&mut self, number: Option<i64>) -> String {
        self.place(Value::Number(number))
    }

    /// Where it is bound: `$3`.
    fn place(&mut self, value: Value) -> String {
        self.0.push(value);
        format!("${}", self.0.len())
    }

    /// The statement, whose text is ours alone.
    fn query(self, sql: String) -> Query<'static, Any, AnyArguments> {
        let query = sqlx::query(AssertSqlSafe(sql));
        self.0.into_iter().fold(query, |query, value| match value {
            Value::Bytes(bytes) => query.bind(bytes),
            Value::Text(text) => query.bind(text),
            Value::Number(number) => query.bind(number),
        })
    }
}

fn id<K: Kind>(row: &AnyRow, column: &str) -> Result<Id<K>, Error> {
    let bytes: Vec<u8> = row.try_get(column)?;
    Id::from_slice(&bytes).ok_or(Error::Damaged("an id is not 16 bytes"))
}

fn mode(row: &AnyRow, column: &str) -> Result<Mode, Error> {
    let word: String = row.try_get(column)?;
    Mode::parse(&word).ok_or(Error::Damaged("a mode is neither test nor live"))
}
