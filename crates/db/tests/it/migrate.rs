//! Bringing a schema to a version, and refusing one that is not there.

use chassis::Tasks;
use db::{Error, Limits, Migrated, Migration, migrate};
use testkit::servers::Postgres;

use crate::house::{House, MIGRATIONS, Server, THING, ids};

const NEWER: &[Migration] = &[
    db::outbox::MIGRATION,
    THING,
    db::outbox::trace(3),
    Migration::both(4, "more", "create table more (id bigint primary key)"),
];
const ALTERED: &[Migration] = &[
    db::outbox::MIGRATION,
    Migration::both(2, "thing", "create table thing (id bigint primary key)"),
];

async fn empty() -> Server {
    Server::new(Postgres::shared().await.unwrap()).await
}

#[tokio::test]
async fn two_at_once_wait_for_each_other_and_again_changes_nothing() {
    let server = empty().await;
    let (owner, schema) = (server.as_owner(), server.schema(MIGRATIONS));
    let (one, two) = tokio::join!(migrate(&owner, &schema), migrate(&owner, &schema));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!((one.now, two.now), (3, 3));
    assert_eq!(one.before + two.before, 3, "one of them did it all");
    assert_eq!(
        migrate(&owner, &schema).await.unwrap(),
        Migrated { before: 3, now: 3 }
    );
    let db = server
        .connect(&Limits::default(), &Tasks::default())
        .await
        .unwrap();
    assert!(ids(&db).await.is_empty());
    assert!(!db.is_embedded());
}

#[tokio::test]
async fn a_program_connects_only_to_its_own_version() {
    let server = empty().await;
    let (limits, tasks) = (Limits::default(), Tasks::default());
    // Before anything was migrated, there is not even the role.
    let none = server.connect(&limits, &tasks).await.unwrap_err();
    assert!(matches!(none, Error::Sql(_)) && !none.is_away(), "{none:?}");
    // The owner may connect, and finds no schema.
    let none = db::Db::connect(&server.as_owner(), MIGRATIONS, &limits, &tasks).await;
    assert_eq!(
        none.unwrap_err().to_string(),
        "schema things is at version 0, and this program needs version 3: run aio migrate"
    );
    migrate(&server.as_owner(), &server.schema(MIGRATIONS))
        .await
        .unwrap();
    let role = server.as_role();
    let older = db::Db::connect(&role, NEWER, &limits, &tasks).await;
    assert_eq!(
        older.unwrap_err().to_string(),
        "schema things is at version 3, and this program needs version 4: run aio migrate"
    );
    let altered = db::Db::connect(&role, ALTERED, &limits, &tasks).await;
    assert!(matches!(altered, Err(Error::Altered { version: 2, .. })));
    let migrated = migrate(&server.as_owner(), &server.schema(NEWER)).await;
    assert_eq!(migrated.unwrap(), Migrated { before: 3, now: 4 });
    let newer = server.connect(&limits, &tasks).await.unwrap_err();
    assert_eq!(
        newer.to_string(),
        "schema things is at version 4, and this program knows versions up to 3: run a newer program"
    );
}

#[tokio::test]
async fn a_newer_or_altered_schema_is_not_migrated() {
    let server = empty().await;
    migrate(&server.as_owner(), &server.schema(NEWER))
        .await
        .unwrap();
    let newer = migrate(&server.as_owner(), &server.schema(MIGRATIONS)).await;
    assert!(
        matches!(
            newer,
            Err(Error::Newer {
                found: 4,
                needed: 3,
                ..
            })
        ),
        "{newer:?}"
    );
    let altered = migrate(&server.as_owner(), &server.schema(ALTERED)).await;
    assert!(altered.is_err());
}

#[tokio::test]
async fn a_step_that_fails_changes_nothing() {
    const BROKEN: &[Migration] = &[
        db::outbox::MIGRATION,
        Migration::both(
            2,
            "broken",
            "create table half (id bigint); create table half (id bigint)",
        ),
    ];
    let server = empty().await;
    let failed = migrate(&server.as_owner(), &server.schema(BROKEN)).await;
    assert!(matches!(failed, Err(Error::Migrate(_))), "{failed:?}");
    let migrated = migrate(&server.as_owner(), &server.schema(MIGRATIONS)).await;
    assert_eq!(migrated.unwrap(), Migrated { before: 1, now: 3 });
}

#[tokio::test]
async fn names_that_need_quotes_are_refused() {
    let server = empty().await;
    let mut schema = server.schema(MIGRATIONS);
    schema.role = "aio; drop".to_owned();
    let refused = migrate(&server.as_owner(), &schema).await;
    assert!(matches!(refused, Err(Error::Setting(_))));
}

#[tokio::test]
async fn the_tables_stand_in_the_schema_alone() {
    let mut house = House::postgres().await;
    let elsewhere: i64 = sqlx::query_scalar(
        "select count(*) from pg_tables where schemaname not in ('things', 'pg_catalog', 'information_schema')",
    )
    .fetch_one(&mut house.server().look().await)
    .await
    .unwrap();
    assert_eq!(elsewhere, 0);
}
