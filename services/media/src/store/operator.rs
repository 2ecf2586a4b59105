//! What operators look for and do, on the tables `task`, `attempt` and `intervention`: one function per statement.

use chassis::secrets::Sealer;
use domain::{AccountId, EventId, Mode, TaskId};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Row as _};

use super::{claim::Lease, task};
use crate::{Error, state::State, task::Task};

/// Which tasks are looked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Search {
    /// Up to before this id.
    pub(crate) before: Vec<u8>,
    pub(crate) account: Option<AccountId>,
    pub(crate) model: Option<String>,
    pub(crate) provider: Option<String>,
    pub(crate) limit: u32,
}

/// A run at a provider, and how its submit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) number: i64,
    pub(crate) provider: String,
    pub(crate) outcome: String,
    pub(crate) submitted_at: i64,
    /// What its provider answered when it was asked to stop it, and when.
    pub(crate) stop: Option<(String, i64)>,
    /// When it is looked at although its task does not wait for it.
    pub(crate) look_at: Option<i64>,
}

/// Something that an operator did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Intervention {
    pub(crate) id: EventId,
    pub(crate) at: i64,
    pub(crate) actor: String,
    pub(crate) request: String,
    pub(crate) action: String,
}

/// Whose step a task is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// From whoever is at it.
    FromAnybody,
    /// From nobody who may be submitting it: his answer would be lost.
    FromNobodySubmitting,
}

// === impl Search ===

impl Search {
    fn statement(&self) -> String {
        let account = self.account.is_some();
        let filters = [
            account.then_some("account"),
            account.then_some("mode"),
            self.model.as_ref().map(|_| "model"),
            self.provider.as_ref().map(|_| "provider"),
        ];
        let filters: String = (4..)
            .zip(filters.into_iter().flatten())
            .map(|(place, column)| format!(" and {column} = ${place}"))
            .collect();
        format!(
            "select {} from task where state = $3 and id < $1{filters} order by id desc limit $2",
            columns!()
        )
    }
}

/// Tasks in a state, the newest first, of a mode where an account is asked for: an index has them in this order.
pub(crate) async fn find(
    pool: &AnyPool,
    search: &Search,
    (state, mode): (State, Mode),
    sealer: &Sealer,
) -> Result<Vec<Task>, Error> {
    let mut query = sqlx::query(AssertSqlSafe(search.statement()))
        .bind(search.before.clone())
        .bind(i64::from(search.limit))
        .bind(state.as_str());
    if let Some(account) = search.account {
        query = query.bind(account.to_vec()).bind(mode.as_str());
    }
    for word in [&search.model, &search.provider].into_iter().flatten() {
        query = query.bind(word.clone());
    }
    let rows = query.fetch_all(pool).await?;
    rows.iter().map(|row| task::read(row, sealer)).collect()
}

/// Takes an open task that is what it was, so that nobody else moves it. `None`: it was moved meanwhile, or cannot be taken now.
pub(crate) async fn take(
    connection: &mut AnyConnection,
    (task, take): (&Task, Take),
    lease: Lease,
    sealer: &Sealer,
) -> Result<Option<Task>, Error> {
    let row = sqlx::query(concat!(
        "update task set claims = claims + 1, lease_until = $1
         where id = $2 and version = $3 and completed_at is null and ($4 = 1 or lease_until <= $5 or state <> 'starting')
         returning ",
        columns!()
    ))
    .bind(lease.until)
    .bind(task.id.to_vec())
    .bind(task.version)
    .bind(i64::from(take == Take::FromAnybody))
    .bind(lease.now)
    .fetch_optional(connection)
    .await?;
    row.map(|row| task::read(&row, sealer)).transpose()
}

/// A task's runs, in order.
pub(crate) async fn attempts(pool: &AnyPool, task: TaskId) -> Result<Vec<Attempt>, Error> {
    let rows = sqlx::query(
        "select number, provider, outcome, submitted_at, stop, stop_at, look_at from attempt where task_id = $1 order by number",
    )
    .bind(task.to_vec())
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            let told: Option<String> = row.try_get("stop")?;
            let at: Option<i64> = row.try_get("stop_at")?;
            Ok(Attempt {
                number: row.try_get("number")?,
                provider: row.try_get("provider")?,
                outcome: row.try_get("outcome")?,
                submitted_at: row.try_get("submitted_at")?,
                stop: told.zip(at),
                look_at: row.try_get("look_at")?,
            })
        })
        .collect()
}

/// Writes down what an operator did, in the transaction that does it.
pub(crate) async fn note(
    connection: &mut AnyConnection,
    task: TaskId,
    done: &Intervention,
) -> Result<(), Error> {
    sqlx::query(
        "insert into intervention (id, task_id, at, actor, request, action) values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(done.id.to_vec())
    .bind(task.to_vec())
    .bind(done.at)
    .bind(done.actor.as_str())
    .bind(done.request.as_str())
    .bind(done.action.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// What operators did to a task, in order.
pub(crate) async fn interventions(
    pool: &AnyPool,
    task: TaskId,
) -> Result<Vec<Intervention>, Error> {
    let rows = sqlx::query(
        "select id, at, actor, request, action from intervention where task_id = $1 order by id",
    )
    .bind(task.to_vec())
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Intervention {
                id: task::id(row, "id")?,
                at: row.try_get("at")?,
                actor: row.try_get("actor")?,
                request: row.try_get("request")?,
                action: row.try_get("action")?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use chassis::{Tasks, config::Settings};
    use db::{Db, Engine, Postgres, Schema};
    use domain::Secret;
    use sqlx::{AnyConnection, Connection as _};
    use testkit::servers;

    use super::*;
    use crate::store::attempt::UNKNOWN;

    /// What operators look for, and the index that has it in order.
    const LOOKS: [([bool; 3], &str); 6] = [
        ([false, false, false], "task_operator"),
        ([false, false, true], "task_provider"),
        ([false, true, false], "task_operator_model"),
        ([true, false, false], "task_state"),
        ([true, false, true], "task_state"),
        ([true, true, false], "task_model_state"),
    ];

    /// Tasks of a hundred accounts, ten providers and twenty models, of which one in a hundred has failed.
    const ROWS: &str = "
        insert into task (id, account, mode, route, model, state, version, request, body_hash, held, price_version, provider,
            due_at, created_at, deadline_at)
        select decode(lpad(to_hex(n), 32, '0'), 'hex'), decode(lpad(to_hex(n % 100), 32, '0'), 'hex'), 'test', 'r',
            'model-' || n % 20, case when n % 101 = 0 then 'failed' else 'completed' end, 1, '', '', 1, 'v', 'provider-' || n % 10,
            0, 0, 0
        from generate_series(1, 20000) n";

    /// The statement, with values in the places of its parameters.
    fn statement([account, model, provider]: [bool; 3], engine: Engine) -> String {
        let some = |is: bool, word: &str| is.then(|| word.to_owned());
        let search = Search {
            account: account.then(chassis::mint),
            model: some(model, "model-7"),
            provider: some(provider, "provider-7"),
            ..Search::default()
        };
        let blob = match engine {
            Engine::Sqlite => "x'ff'",
            Engine::Postgres => "'\\xff'",
        };
        let id = "00000000000000000000000000000007";
        let whose = match engine {
            Engine::Sqlite => format!("x'{id}'"),
            Engine::Postgres => format!("'\\x{id}'"),
        };
        let own = account.then_some([whose.as_str(), "'test'"]);
        let values = ["", blob, "50", "'failed'"].into_iter();
        let values = values
            .chain(own.into_iter().flatten())
            .chain(model.then_some("'model-7'"))
            .chain(provider.then_some("'provider-7'"));
        values
            .enumerate()
            .skip(1)
            .fold(search.statement(), |text, (place, value)| {
                text.replace(&format!("${place}"), value)
            })
    }

    async fn steps(connection: &mut AnyConnection, explain: &str, column: &str) -> String {
        let rows = sqlx::query(AssertSqlSafe(explain.to_owned()))
            .fetch_all(connection)
            .await
            .unwrap();
        let steps: Vec<String> = rows.iter().map(|row| row.get(column)).collect();
        steps.join("\n")
    }

    #[tokio::test]
    async fn what_operators_look_for_is_found_by_an_index_in_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let limits = Settings::from_toml("").section("database").unwrap();
        let file = directory.path().join("media.db");
        let tasks = Tasks::default();
        let db = Db::open(&file, crate::MIGRATIONS, &limits, &tasks)
            .await
            .unwrap();
        let mut connection = db.reader().acquire().await.unwrap();
        for (filters, index) in LOOKS {
            let asked = statement(filters, Engine::Sqlite);
            let explain = format!("explain query plan {asked}");
            let steps = steps(&mut connection, &explain, "detail").await;
            let expected = format!("SEARCH task USING INDEX {index} (");
            assert!(steps.starts_with(&expected), "{asked}: {steps}");
            assert!(!steps.contains("TEMP B-TREE"), "{asked}: {steps}");
        }
        let asked = UNKNOWN.replace("$1", "50");
        let explain = format!("explain query plan {asked}");
        let steps = steps(&mut connection, &explain, "detail").await;
        assert!(
            steps.starts_with("SCAN a USING INDEX attempt_unknown"),
            "{asked}: {steps}"
        );
        assert!(!steps.contains("TEMP B-TREE"), "{asked}: {steps}");
    }

    #[tokio::test]
    async fn what_operators_look_for_is_found_by_an_index_on_a_server() {
        let server = servers::Postgres::shared().await.unwrap();
        let url = server.database().await.unwrap();
        let (_, name) = url.rsplit_once('/').unwrap();
        let schema = Schema {
            name: crate::SCHEMA,
            role: format!("{name}_media"),
            role_password: Some(Secret::new("secret")),
            migrations: crate::MIGRATIONS,
            append_only: &[],
        };
        let owner = Postgres {
            url: Secret::new(url.clone()),
            schema: crate::SCHEMA,
        };
        db::migrate(&owner, &schema).await.unwrap();
        let mut connection = AnyConnection::connect(&url).await.unwrap();
        // Of a table without rows it would read all of them.
        for setting in ["set search_path = media", ROWS, "analyze task"] {
            sqlx::query(setting).execute(&mut connection).await.unwrap();
        }
        for (filters, index) in LOOKS {
            let asked = statement(filters, Engine::Postgres);
            let explain = format!("explain {asked}");
            let steps = steps(&mut connection, &explain, "QUERY PLAN").await;
            // With a blank behind it: one name begins with another.
            assert!(steps.contains(&format!("{index} ")), "{asked}: {steps}");
            assert!(!steps.contains("Seq Scan"), "{asked}: {steps}");
        }
    }
}
