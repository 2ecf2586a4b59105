//! Nothing is left of a server: not when its value is dropped, and not when the test is killed.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use testkit::{
    eventually,
    servers::{Postgres, Rabbit, Redis},
};

/// Tells the process that this test starts to play the test that is killed.
const VICTIM: &str = "AIO_TEST_VICTIM";

#[tokio::test]
async fn a_dropped_server_leaves_nothing() -> Result<()> {
    let (postgres, rabbit, redis) = (
        Postgres::start().await?,
        Rabbit::start().await?,
        Redis::start().await?,
    );
    let folders: Vec<_> = [postgres.folder(), rabbit.folder(), Some(redis.folder())]
        .into_iter()
        .flatten()
        .map(Path::to_owned)
        .collect();
    assert_eq!(folders.len(), 3);
    for folder in &folders {
        assert!(!running_in(folder)?.is_empty(), "{folder:?}");
    }
    drop((postgres, rabbit, redis));
    for folder in &folders {
        assert_eq!(running_in(folder)?, Vec::<String>::new());
        assert!(!folder.exists(), "{folder:?} is left");
    }
    Ok(())
}

#[tokio::test]
async fn a_killed_test_leaves_nothing() -> Result<()> {
    if chassis::config::variable_value(VICTIM).is_some() {
        return wait_to_be_killed().await;
    }
    let mut victim = Command::new(std::env::current_exe()?)
        .args([
            "--exact",
            "gone::a_killed_test_leaves_nothing",
            "--nocapture",
        ])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()?;
    let output = BufReader::new(victim.stdout.take().context("no output")?);
    let folders: Vec<_> = output
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| Some(line.split_once("folder ")?.1.to_owned()))
        .take(3)
        .collect();
    ensure!(folders.len() == 3, "{folders:?}");
    for folder in &folders {
        assert!(!running_in(folder.as_ref())?.is_empty(), "{folder}");
    }
    victim.kill()?;
    victim.wait()?;
    eventually("all is gone", async || {
        for folder in &folders {
            if Path::new(folder).exists() || !running_in(folder.as_ref())?.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await
}

/// Starts the servers and says where.
async fn wait_to_be_killed() -> Result<()> {
    use std::io::Write as _;
    let (postgres, rabbit, redis) = (
        Postgres::start().await?,
        Rabbit::start().await?,
        Redis::start().await?,
    );
    let folders = [postgres.folder(), rabbit.folder(), Some(redis.folder())];
    for folder in folders.into_iter().flatten() {
        writeln!(std::io::stdout(), "folder {}", folder.display())?;
    }
    std::future::pending().await
}

/// The processes that have to do with a folder: by their directory, their words or their environment.
fn running_in(folder: &Path) -> Result<Vec<String>> {
    let folder = folder.to_str().context("a strange name")?;
    let mut found = Vec::new();
    for process in fs::read_dir("/proc")? {
        let process = process?.path();
        let read = |name: &str| fs::read(process.join(name)).unwrap_or_default();
        let words = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let directory = fs::read_link(process.join("cwd")).unwrap_or_default();
        let about = [words.as_bytes(), &read("environ")].concat();
        let named = String::from_utf8_lossy(&about).contains(folder);
        // One that has just ended has neither.
        if named || directory.starts_with(folder) {
            found.push(format!("{} {words}", process.display()));
        }
    }
    Ok(found)
}
