//! What a service's role may do, and what it may not.

use db::Error;
use sqlx::{AssertSqlSafe, Executor as _};
use testkit::servers::WITH_PASSWORD;

use crate::house::{House, ids, insert};

/// Runs one statement as the service, and gives the SQL state it was refused with.
async fn refused(house: &House, statement: &'static str) -> Option<String> {
    let done: Result<(), Error> = house
        .db
        .write(move |connection| {
            Box::pin(async move {
                sqlx::query(statement).execute(connection).await?;
                Ok(())
            })
        })
        .await;
    match done {
        Ok(()) => None,
        Err(Error::Sql(error)) => Some(error.as_database_error()?.code()?.into_owned()),
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn it_reads_and_writes_rows_and_changes_no_table() {
    let house = House::postgres().await;
    insert(&house.db, 1).await.unwrap();
    for allowed in [
        "update thing set id = 2 where id = 1",
        "delete from thing where id = 2",
        "insert into entry (id) values (1) on conflict do nothing",
    ] {
        assert_eq!(refused(&house, allowed).await, None, "{allowed}");
    }
    assert!(ids(&house.db).await.is_empty());
    for forbidden in [
        "update entry set id = 2",
        "delete from entry",
        "truncate entry",
        "truncate thing",
        "drop table entry",
        "alter table thing add column more text",
        "alter table entry disable trigger all",
        "create table own (id bigint)",
        "create table things.own (id bigint)",
        "create index own on thing (note)",
        "create schema own",
        "delete from _sqlx_migrations",
        "update _sqlx_migrations set version = 9",
        "grant delete on entry to current_user",
    ] {
        let state = refused(&house, forbidden).await;
        // Refused for want of rights; without a schema to create in, there is none to name.
        let expected = matches!(state.as_deref(), Some("42501" | "3F000"));
        // A grant by somebody who may not is a warning, and grants nothing.
        assert!(
            expected || forbidden.starts_with("grant"),
            "{forbidden}: {state:?}"
        );
    }
    assert_eq!(
        refused(&house, "delete from entry").await.as_deref(),
        Some("42501")
    );
}

#[tokio::test]
async fn it_does_not_see_another_service() {
    let mut house = House::postgres().await;
    let server = house.server();
    let mut other = server.schema(&[db::outbox::MIGRATION]);
    other.name = "others";
    other.role.push_str("_other");
    other.append_only = &[];
    let mut owner = server.as_owner();
    owner.schema = "others";
    db::migrate(&owner, &other).await.unwrap();
    let state = refused(&house, "delete from others.outbox").await;
    assert_eq!(state.as_deref(), Some("42501"));
}

#[tokio::test]
async fn its_password_is_asked_for_and_can_be_changed() {
    let mut house = House::postgres().await;
    let server = house.server();
    let grant = format!("grant {WITH_PASSWORD} to {}", server.role);
    server
        .look()
        .await
        .execute(AssertSqlSafe(grant))
        .await
        .unwrap();
    let mut schema = server.schema(crate::house::MIGRATIONS);
    schema.role_password = Some(domain::Secret::new("another"));
    db::migrate(&server.as_owner(), &schema).await.unwrap();
    let (limits, tasks) = (db::Limits::default(), chassis::Tasks::default());
    let refused = server.connect(&limits, &tasks).await.unwrap_err();
    // At once: waiting does not make a password right.
    assert!(
        matches!(refused, Error::Sql(_)) && !refused.is_away(),
        "{refused:?}"
    );
    // Without one, it is left alone.
    schema.role_password = None;
    db::migrate(&server.as_owner(), &schema).await.unwrap();
    server.url = server.url.replace("o%27pen%24sesame", "another");
    server.connect(&limits, &tasks).await.unwrap();
}
