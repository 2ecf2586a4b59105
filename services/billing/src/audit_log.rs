//! The audit log: who changed what. A change that somebody made and its row are written in one transaction, so that neither is there
//! without the other. (`audit.rs` is another thing: it checks the books.)

use chassis::clock;
use db::Db;
use domain::{AccountId, Caller, Micros, Mode};
use serde_json::{Map, Value, json};
use sqlx::AnyConnection;

use crate::{
    Error,
    key::Asker,
    ledger::Caps,
    store::{self, AuditLogRow, KeyRow},
};

/// Who acts where no key does.
const OPERATOR: &str = "operator";

/// The field of `detail` that only operators read.
pub(crate) const REASON: &str = "reason";

/// Who changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// The id of a key or of a person at the dashboard, or `operator`.
    pub actor: String,
    /// The request that asks for it; empty: none.
    pub request: String,
}

/// What can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    AccountCreate,
    AccountUpdate,
    KeyCreate,
    KeyUpdate,
    KeyRotate,
    KeyRevoke,
    CreditsAdd,
    CreditsRedeem,
    CreditsReset,
    CreditsAlert,
    CodeCreate,
    CodeRevoke,
}

/// A change: what was done, to what, and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// Whose things, and of which balance; `None`: of nobody, or not of one balance.
    pub(crate) whose: (Option<AccountId>, Option<Mode>),
    pub(crate) action: Action,
    /// A `TypeID`.
    pub(crate) subject: String,
    pub(crate) detail: Value,
}

/// Which rows are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Page {
    /// Of which account: what an operator says. `None`: of all.
    pub(crate) account: Option<AccountId>,
    /// Only rows older than this one.
    pub(crate) before: Option<domain::EventId>,
    /// Rows wanted.
    pub(crate) limit: u32,
}

/// Writes a change down, in the transaction that makes it.
///
/// # Errors
/// When the statement fails.
pub(crate) async fn note(
    connection: &mut AnyConnection,
    by: &By,
    change: Change,
    now: i64,
) -> Result<(), Error> {
    let (account, mode) = change.whose;
    let row = AuditLogRow {
        id: chassis::mint(),
        account,
        mode,
        actor: by.actor.clone(),
        request: by.request.clone(),
        action: change.action.as_str().to_owned(),
        subject: change.subject,
        detail: change.detail.to_string(),
        created_at: now,
    };
    store::audit_log::insert(connection, &row).await
}

/// A page of the log, the newest first: of the asker's own account and mode, or of what an operator names.
///
/// # Errors
/// When the database failed.
pub(crate) async fn audit_log(
    db: &Db,
    asker: &Asker,
    page: Page,
) -> Result<Vec<AuditLogRow>, Error> {
    let (account, mode) = match asker {
        Asker::Operator(_) => (page.account, None),
        Asker::Customer(caller) => (Some(caller.account), Some(caller.mode)),
    };
    let limit = i64::from(page.limit.clamp(1, 1_000));
    let rows: Result<Vec<AuditLogRow>, Error> = db
        .read(async {
            let mut connection = db.reader().acquire().await?;
            store::audit_log::page(&mut connection, (account, mode), page.before, limit).await
        })
        .await;
    let rows = rows?.into_iter();
    Ok(match asker {
        Asker::Operator(_) => rows.collect(),
        Asker::Customer(_) => rows.map(without_reason).collect(),
    })
}

/// Why an operator gave or took credit is between operators.
fn without_reason(mut row: AuditLogRow) -> AuditLogRow {
    if let Ok(Value::Object(mut detail)) = serde_json::from_str(&row.detail)
        && detail.remove(REASON).is_some()
    {
        row.detail = Value::Object(detail).to_string();
    }
    row
}

/// What a new key is, as the log tells it.
pub(crate) fn new_key(row: &KeyRow, caps: Caps) -> Value {
    let mut detail = key(row, caps);
    detail.insert("mode".to_owned(), row.mode.as_str().into());
    detail.insert("scopes".to_owned(), json!(row.scopes));
    detail.insert("last_four".to_owned(), row.last_four.clone().into());
    detail.into()
}

/// What was changed of a key, as the log tells it, if anything was: what is the same before and after is left out.
pub(crate) fn key_change(before: (&KeyRow, Caps), after: (&KeyRow, Caps)) -> Option<Value> {
    let (mut before, mut after) = (key(before.0, before.1), key(after.0, after.1));
    after.retain(|name, value| before.get(name) != Some(value));
    before.retain(|name, _| after.contains_key(name));
    (!after.is_empty()).then(|| json!({ "before": before, "after": after }))
}

/// What can be changed of a key.
fn key(row: &KeyRow, caps: Caps) -> Map<String, Value> {
    let fields = [
        ("name", json!(row.name)),
        ("models", json!(row.models)),
        ("ip_allow", json!(row.ip_allow)),
        ("rpm", json!(row.rpm)),
        ("concurrency", json!(row.concurrency)),
        ("max_open_tasks", json!(row.max_open_tasks)),
        ("expires_at", json!(row.expires_at.map(clock::rfc3339))),
        ("cap_day_microcredits", json!(caps.day.map(Micros::get))),
        ("cap_month_microcredits", json!(caps.month.map(Micros::get))),
        ("cap_total_microcredits", json!(caps.total.map(Micros::get))),
    ];
    let fields = fields.into_iter();
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

// === impl By ===

impl By {
    /// Whoever runs the program: the command line, and what happens by itself at a first start.
    pub fn operator() -> Self {
        Self {
            actor: OPERATOR.to_owned(),
            request: String::new(),
        }
    }
}

impl From<&Caller> for By {
    fn from(caller: &Caller) -> Self {
        Self {
            actor: match (caller.key, caller.user) {
                (Some(key), _) => key.to_string(),
                (None, Some(user)) => user.to_string(),
                (None, None) => OPERATOR.to_owned(),
            },
            request: caller.request_id.clone(),
        }
    }
}

// === impl Action ===

impl Action {
    /// The word that is kept and shown.
    const fn as_str(self) -> &'static str {
        match self {
            Self::AccountCreate => "account.create",
            Self::AccountUpdate => "account.update",
            Self::KeyCreate => "key.create",
            Self::KeyUpdate => "key.update",
            Self::KeyRotate => "key.rotate",
            Self::KeyRevoke => "key.revoke",
            Self::CreditsAdd => "credits.add",
            Self::CreditsRedeem => "credits.redeem",
            Self::CreditsReset => "credits.reset",
            Self::CreditsAlert => "credits.alert",
            Self::CodeCreate => "code.create",
            Self::CodeRevoke => "code.revoke",
        }
    }
}
