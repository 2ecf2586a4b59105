//! Several SQLite files as they stood at one moment, while another process writes to them.
//!
//! A copy of one file is consistent by itself; copies of several, made one after another, are not: billing's would know of a
//! task that media's does not. So for the moment at which all of them begin to be read, nobody writes to any: the right to write
//! to each is taken, as a writer takes it, then a read transaction is begun on each, and the rights are given back. That takes
//! milliseconds. What is copied afterwards, however long it takes, is what those transactions see.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use rusqlite::{
    Connection, ErrorCode, OpenFlags,
    backup::{Backup, StepResult},
};

use crate::{Engine, Error, Migration, version};

/// How long the right to write to some files is kept while that to another one is waited for: their writers wait as long.
const HELD: Duration = Duration::from_millis(500);
/// How soon a right that somebody else has is asked for again. A busy writer leaves it free for an instant between two commits.
const ASK_AGAIN: Duration = Duration::from_micros(200);
/// How long all rights are left alone after they could not be had together.
const REST: Duration = Duration::from_millis(50);
/// Pages that are copied at a time.
const PAGES: i32 = 1_024;
/// How long a look waits for a file that nobody else may read at the moment.
const PATIENCE_OF_LOOKS: Duration = Duration::from_secs(5);
/// Where the steps that were applied are noted.
const STEPS: &str = "_sqlx_migrations";

/// Files as they stood at one moment, for as long as this lives. Meanwhile the write-ahead logs of the files only grow.
#[derive(Debug)]
pub struct Moment {
    files: Vec<(PathBuf, Connection)>,
}

/// What is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The version of its schema; 0 for none.
    pub version: i64,
    /// How many rows each table has.
    pub rows: BTreeMap<String, i64>,
}

// === impl Moment ===

impl Moment {
    /// Waits up to `patience` for a moment at which nobody writes to any of these files. Blocks the thread.
    ///
    /// # Errors
    /// When a file cannot be opened, or its writer leaves no such moment.
    pub fn of(files: &[PathBuf], patience: Duration) -> Result<Self, Error> {
        let open = |path: &PathBuf| Ok((open(path)?, open(path)?));
        let pairs: Vec<(Connection, Connection)> =
            files.iter().map(open).collect::<Result<_, Error>>()?;
        let (writers, readers): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let deadline = Instant::now() + patience;
        loop {
            match hold(&writers) {
                Ok(()) => break,
                Err(error) if is_busy(&error) && Instant::now() < deadline => {
                    release(&writers)?;
                    sleep(REST);
                }
                Err(error) => return Err(error.into()),
            }
        }
        let begun = readers.iter().try_for_each(|reader| {
            reader.execute_batch("begin")?;
            // A transaction sees nothing before it has looked.
            reader.query_row("select count(*) from sqlite_schema", [], |_row| Ok(()))
        });
        release(&writers)?;
        begun?;
        Ok(Self {
            files: files.iter().cloned().zip(readers).collect(),
        })
    }

    /// Copies one of the files to `to`, which must not be there: whole, on disk, and in one piece, without a write-ahead log.
    /// `progress` hears of pages: how many are copied, and how many there are. Blocks the thread.
    ///
    /// # Errors
    /// When the file is none of them, or one of the two cannot be read or written.
    pub fn copy(
        &self,
        file: &Path,
        to: &Path,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<(), Error> {
        let found = self.files.iter().find(|(path, _)| path == file);
        let (_, source) = found.ok_or(Error::Setting("this file is not one of the moment"))?;
        let mut copy = Connection::open(to)?;
        {
            let backup = Backup::new(source, &mut copy)?;
            loop {
                let step = backup.step(PAGES)?;
                if step == StepResult::Done {
                    break;
                }
                if step != StepResult::More {
                    // Nobody else has the copy, and the other file is being read already: this is not for long.
                    sleep(ASK_AGAIN);
                }
                let (all, left) = (backup.progress().pagecount, backup.progress().remaining);
                let count = |pages: i32| u64::try_from(pages).unwrap_or_default();
                progress(count(all.saturating_sub(left)), count(all));
            }
        }
        copy.query_row("pragma journal_mode = delete", [], |_row| Ok(()))?;
        copy.close().map_err(|(_connection, error)| error)?;
        Ok(())
    }
}

/// Looks through a file that nobody writes to: whether it is sound, at which version it is, and how much is in it. Blocks the
/// thread.
///
/// # Errors
/// When it cannot be read, is damaged, or is newer than a program with these steps, or another's.
pub fn contents(file: &Path, migrations: &[Migration]) -> Result<Contents, Error> {
    let connection = looking(file)?;
    let sound: String = connection.query_row("pragma quick_check(1)", [], |row| row.get(0))?;
    if sound != "ok" {
        return Err(Error::Damaged {
            file: file.display().to_string(),
            found: sound,
        });
    }
    let mut rows = BTreeMap::new();
    for name in tables(&connection)? {
        // A name out of the schema, quoted.
        let count = format!(r#"select count(*) from "{}""#, name.replace('"', r#""""#));
        let counted = connection.query_row(&count, [], |row| row.get(0))?;
        rows.insert(name, counted);
    }
    Ok(Contents {
        version: version_in(&connection, file, migrations)?,
        rows,
    })
}

/// At which version the schema of a file is, whoever writes to it; 0 for none. Blocks the thread.
///
/// # Errors
/// When it cannot be read, or is newer than a program with these steps, or another's.
pub fn standing(file: &Path, migrations: &[Migration]) -> Result<i64, Error> {
    version_in(&looking(file)?, file, migrations)
}

fn version_in(
    connection: &Connection,
    file: &Path,
    migrations: &[Migration],
) -> Result<i64, Error> {
    if !tables(connection)?.iter().any(|name| name == STEPS) {
        return Ok(0);
    }
    let mut read =
        connection.prepare("select version, checksum from _sqlx_migrations order by version")?;
    let read = read.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let applied: version::Applied = read.collect::<Result<_, _>>()?;
    version::fits(&super::name(file), &applied, migrations, Engine::Sqlite)?;
    Ok(version::newest(&applied))
}

fn tables(connection: &Connection) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare(
        "select name from sqlite_schema where type = 'table' and name not like 'sqlite_%' order by name",
    )?;
    let names = statement.query_map([], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

fn looking(path: &Path) -> Result<Connection, Error> {
    let connection = open(path)?;
    connection.busy_timeout(PATIENCE_OF_LOOKS)?;
    Ok(connection)
}

fn open(path: &Path) -> Result<Connection, Error> {
    // Not read-only: even who only reads notes in the index of the write-ahead log what it still needs, and whoever comes last
    // puts log and index away.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::ZERO)?;
    Ok(connection)
}

/// Takes the right to write to all of them, or to some and fails.
fn hold(writers: &[Connection]) -> Result<(), rusqlite::Error> {
    let mut deadline = Instant::now() + HELD;
    for (taken, writer) in writers.iter().enumerate() {
        if taken <= 1 {
            // Until something is held, nobody is kept waiting.
            deadline = Instant::now() + HELD;
        }
        loop {
            match writer.execute_batch("begin immediate") {
                Ok(()) => break,
                Err(error) if is_busy(&error) && Instant::now() < deadline => sleep(ASK_AGAIN),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Gives back what is held. Nothing was written.
fn release(writers: &[Connection]) -> Result<(), rusqlite::Error> {
    let mut held = writers.iter().filter(|writer| !writer.is_autocommit());
    held.try_for_each(|writer| writer.execute_batch("rollback"))
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn file(folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch("pragma journal_mode = wal; create table thing (id integer primary key)")
            .unwrap();
        path
    }

    fn insert(path: &Path, id: i64) {
        let connection = Connection::open(path).unwrap();
        connection.busy_timeout(PATIENCE).unwrap();
        let add = "insert into thing (id) values (?1)";
        connection.execute(add, [id]).unwrap();
    }

    fn things(path: &Path) -> i64 {
        contents(path, &[]).unwrap().rows["thing"]
    }

    /// One writer says everything first in one file and then in the other, as fast as it can: no copy of the second may know
    /// what the copy of the first does not, nor miss more than the one that was on its way.
    #[test]
    fn files_that_are_written_to_are_copied_as_of_one_moment() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (file(folder.path(), "a.db"), file(folder.path(), "b.db"));
        let stop = std::sync::atomic::AtomicBool::new(false);
        let relaxed = std::sync::atomic::Ordering::Relaxed;
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut id = 0;
                while !stop.load(relaxed) {
                    insert(&first, id);
                    insert(&second, id);
                    id += 1;
                }
            });
            let mut last = 0;
            for round in 0..20 {
                // Whatever fails here, the writer must hear of it.
                let copied = (|| {
                    let moment = Moment::of(&[first.clone(), second.clone()], PATIENCE)?;
                    let (a, b) = (
                        folder.path().join(format!("a{round}")),
                        folder.path().join(format!("b{round}")),
                    );
                    // What comes between the moment and the copy is in neither.
                    moment.copy(&second, &b, |_, _| {})?;
                    moment.copy(&first, &a, |_, _| {})?;
                    Ok::<_, Error>((things(&a), things(&b)))
                })();
                if round == 19 || copied.is_err() {
                    stop.store(true, relaxed);
                }
                let (a, b) = copied.unwrap();
                assert!(a == b || a == b + 1, "{a} and {b}");
                assert!(a >= last);
                last = a;
            }
            assert!(last > 0, "nothing was written meanwhile");
        });
    }

    #[test]
    fn a_moment_that_does_not_come_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (file(folder.path(), "a.db"), file(folder.path(), "b.db"));
        let writer = Connection::open(&second).unwrap();
        writer.execute_batch("begin immediate").unwrap();
        let error = Moment::of(&[first.clone(), second.clone()], Duration::ZERO).unwrap_err();
        assert!(error.is_away(), "{error:?}");
        // And nobody is kept waiting.
        insert(&first, 1);
        writer.execute_batch("rollback").unwrap();
        assert!(Moment::of(&[first, second], Duration::ZERO).is_ok());
    }

    #[test]
    fn a_damaged_file_is_found_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "a.db");
        Connection::open(&path)
            .unwrap()
            .execute_batch(
                "with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000)
                 insert into thing select i from n; pragma wal_checkpoint(truncate)",
            )
            .unwrap();
        assert_eq!(things(&path), 5_000);
        let mut bytes = std::fs::read(&path).unwrap();
        let from = bytes.len() / 2;
        bytes[from..from + 4_096].fill(0xee);
        std::fs::write(&path, bytes).unwrap();
        assert!(contents(&path, &[]).is_err());
    }
}
