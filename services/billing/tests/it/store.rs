//! The database's own line of defence: what no statement may do, whoever sends it. Every kind of database must refuse alike.

use db::Engine;
use sqlx::AssertSqlSafe;

use crate::house::{House, capture, on_both_engines};

on_both_engines!(
    constraints_refuse_what_the_rules_never_do,
    what_is_booked_stays_booked,
);

async fn refused(house: &House, sql: &str) -> String {
    let sql = sql.to_owned();
    let outcome: Result<u64, db::Error> = house
        .db
        .write(move |connection| {
            Box::pin(async move {
                let done = sqlx::query(AssertSqlSafe(sql)).execute(connection).await?;
                Ok(done.rows_affected())
            })
        })
        .await;
    match outcome {
        Ok(rows) => panic!("{rows} rows changed"),
        Err(db::Error::Sql(cause)) => cause.to_string(),
        Err(other) => panic!("{other}"),
    }
}

async fn constraints_refuse_what_the_rules_never_do(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(100).await;
    let (open, charged) = (chassis::mint(), chassis::mint());
    house.hold(open, alice, 30).await.unwrap();
    house.hold(charged, alice, 30).await.unwrap();
    house.settle(charged, capture(20)).await.unwrap();
    for (sql, constraint) in [
        (
            "update balance set posted = 29 where posted = 80",
            "balance_available_not_negative",
        ),
        (
            "update balance set held = 81 where posted = 80",
            "balance_available_not_negative",
        ),
        ("update balance set held = -1", "balance_held_not_negative"),
        (
            "update balance set open_holds = -1",
            "balance_held_not_negative",
        ),
        (
            "update hold set captured = 31 where state = 'captured'",
            "hold_captured_within",
        ),
        (
            "update hold set captured = -1 where state = 'captured'",
            "hold_captured_within",
        ),
        (
            "update hold set captured = 1 where state = 'open'",
            "hold_captured_only_when_captured",
        ),
        (
            "update hold set granted = 31 where state = 'open'",
            "hold_granted_within",
        ),
        (
            "update hold set state = 'gone', closed_at = 1, captured = 0",
            "hold_state",
        ),
        (
            "update hold set state = 'released' where state = 'open'",
            "hold_closed_once",
        ),
        ("update hold set account = null", "hold_has_an_owner"),
        ("update hold set expires_at = 1", "hold_chat_expires"),
    ] {
        let error = refused(&house, sql).await;
        assert!(error.contains(constraint), "{sql}: {error}");
    }
    house.audit().await;
}

/// What would rewrite the books.
const REWRITES: [&str; 4] = [
    "update entry set amount = 1",
    "delete from entry",
    "update transfer set amount = 1",
    "delete from transfer",
];

async fn what_is_booked_stays_booked(engine: Engine) {
    let house = House::open(engine).await;
    house.account_with(100).await;
    // Billing's role on PostgreSQL has no right to.
    let told = match engine {
        Engine::Sqlite => "append-only",
        Engine::Postgres => "permission denied",
    };
    for sql in REWRITES {
        let error = refused(&house, sql).await;
        assert!(error.contains(told), "{sql}: {error}");
    }
    if engine == Engine::Postgres {
        let mut owner = house.place.server().connect_owner().await;
        for sql in REWRITES
            .into_iter()
            .chain(["truncate entry", "truncate transfer"])
        {
            let error = sqlx::query(sql).execute(&mut owner).await.unwrap_err();
            assert!(error.to_string().contains("append-only"), "{sql}: {error}");
        }
    }
    house.audit().await;
}
