//! PostgreSQL: what is committed outlives its processes, and databases are apart.

use anyhow::{Context as _, Result, ensure};
use testkit::servers::{Postgres, WITH_PASSWORD, programs::Program};
use tokio::process::Command;

#[tokio::test]
async fn what_is_committed_survives_a_kill() -> Result<()> {
    let mut server = Postgres::start().await?;
    let url = server.database().await?;
    sql(&url, "create table t (n bigint); insert into t values (7)").await?;
    for _ in 0..2 {
        server.kill()?;
        ensure!(sql(&url, "select 1").await.is_err(), "it still answers");
        server.restart().await?;
        assert_eq!(sql(&url, "select n from t").await?, "7");
    }
    assert_eq!(sql(&url, "show fsync").await?, "on");
    Ok(())
}

#[tokio::test]
async fn a_database_belongs_to_an_owner_who_may_make_roles() -> Result<()> {
    let server = Postgres::shared().await?;
    let (one, other) = (server.database().await?, server.database().await?);
    sql(&one, "create schema house; create table house.t ()").await?;
    let count = "select count(*) from pg_namespace where nspname = 'house'";
    assert_eq!(sql(&one, count).await?, "1");
    assert_eq!(sql(&other, count).await?, "0");
    let superuser = "select rolsuper from pg_roles where rolname = current_user";
    assert_eq!(sql(&one, superuser).await?, "f");
    // The password of a role that has to prove itself is asked for.
    let role = format!("r{:x}", rand::random::<u64>());
    let make =
        format!("create role {role} login password 'right'; grant {WITH_PASSWORD} to {role}");
    sql(&one, &make).await?;
    let (_, rest) = one.split_once('@').context("no user")?;
    let as_role = |password| format!("postgres://{role}:{password}@{rest}");
    assert_eq!(sql(&as_role("right"), "select current_user").await?, role);
    let refused = sql(&as_role("wrong"), "select 1").await;
    let said = format!("{:#}", refused.err().context("any password will do")?);
    assert!(said.contains("password authentication failed"), "{said}");
    Ok(())
}

/// Runs statements and gives what the last one answers.
async fn sql(url: &str, statements: &str) -> Result<String> {
    let psql = Program::Postgres.path()?.join("psql");
    let mut command = Command::new(psql);
    command
        .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
        .args(["--no-password", "--set", "ON_ERROR_STOP=1"])
        .args(["--command", statements, url]);
    let output = command.output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
