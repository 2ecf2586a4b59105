//! Each table is written by one room. The owner is the room whose migrations create the table; the outbox belongs to
//! `crates/db` although each service keeps one in its own database.

use super::{Finding, source::Source};
use std::collections::BTreeMap;

/// A migration: its path from the root of the repository, and its text.
pub(crate) struct Migration {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Which room owns which table.
pub(crate) type Owners = BTreeMap<String, String>;

/// The table every service's database has, and whose rows only `crates/db` writes.
const OUTBOX: (&str, &str) = ("outbox", "crates/db");
/// The words before the name of a table that is written.
const WRITES: [&[&str]; 5] = [
    &["insert", "into"],
    &["insert", "or", "ignore", "into"],
    &["insert", "or", "replace", "into"],
    &["delete", "from"],
    &["update"],
];

/// The owner of every table, and a finding for each table that two rooms create.
pub(crate) fn owners(migrations: &[Migration]) -> (Owners, Vec<Finding>) {
    let mut owners = Owners::from([(OUTBOX.0.to_owned(), OUTBOX.1.to_owned())]);
    let mut findings = Vec::new();
    for migration in migrations {
        for table in created(&migration.text) {
            let room = room(&migration.path);
            let owner = owners.entry(table.clone()).or_insert_with(|| room.clone());
            if *owner != room && table != OUTBOX.0 {
                let problem = format!("creates table {table}, which {owner} creates as well");
                findings.push(Finding::new(
                    &migration.path,
                    0,
                    problem,
                    "one room per table",
                ));
            }
        }
    }
    (owners, findings)
}

/// Statements in `source` that write another room's table.
pub(crate) fn foreign_writes(source: &Source, owners: &Owners) -> Vec<Finding> {
    let here = room(&source.path);
    let strings = source.strings();
    let writes = strings.flat_map(|(line, text)| written(text).into_iter().map(move |t| (line, t)));
    writes
        .filter_map(|(line, table)| {
            let owner = owners.get(&table).filter(|owner| **owner != here)?;
            let problem = format!("writes table {table}");
            Some(Finding::new(
                &source.path,
                line,
                problem,
                format!("only {owner} does"),
            ))
        })
        .collect()
}

/// `services/media/src/store.rs` -> `services/media`.
fn room(path: &str) -> String {
    path.split('/').take(2).collect::<Vec<_>>().join("/")
}

/// The words of an SQL text in lower case. A dot stays inside a name.
fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'));
    words
        .filter(|word| !word.is_empty())
        .map(ToOwned::to_owned)
        .collect()
}

fn created(text: &str) -> Vec<String> {
    let words = words(text);
    let starts = (0..words.len()).filter_map(|start| words.get(start..));
    starts
        .filter_map(|rest| {
            let name = after(rest, &["create", "table"])?;
            Some(
                after(name, &["if", "not", "exists"])
                    .unwrap_or(name)
                    .first()?
                    .clone(),
            )
        })
        .collect()
}

fn written(text: &str) -> Vec<String> {
    let words = words(text);
    let starts = (0..words.len()).filter_map(|start| words.get(start..));
    let writes = starts.filter_map(|rest| WRITES.iter().find_map(|verb| after(rest, verb)));
    writes.filter_map(|rest| rest.first().cloned()).collect()
}

fn after<'w>(words: &'w [String], lead: &[&str]) -> Option<&'w [String]> {
    let (head, rest) = words.split_at_checked(lead.len())?;
    (head == lead).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migration(path: &str, text: &str) -> Migration {
        let (path, text) = (path.to_owned(), text.to_owned());
        Migration { path, text }
    }

    fn check(path: &str, sql: &str) -> usize {
        let migrations = [migration(
            "services/media/migrations/0001_task.sql",
            "create table if not exists task (id blob);\ncreate table outbox (id blob);",
        )];
        let source = Source::parse(path, &format!("//! A.\nconst SQL: &str = \"{sql}\";\n"));
        foreign_writes(&source.unwrap(), &owners(&migrations).0).len()
    }

    #[test]
    fn only_the_owner_writes_a_table() {
        for sql in [
            "insert into task (id) values ($1)",
            "update task set id = $1",
            "delete from task where id = $1",
        ] {
            assert_eq!(check("services/billing/src/store.rs", sql), 1, "{sql}");
            assert_eq!(check("services/media/src/store.rs", sql), 0, "{sql}");
        }
        assert_eq!(
            check("services/billing/src/store.rs", "select id from task"),
            0
        );
    }

    #[test]
    fn the_outbox_belongs_to_db() {
        let sql = "insert into outbox (id) values ($1)";
        assert_eq!(check("services/media/src/store.rs", sql), 1);
        assert_eq!(check("crates/db/src/outbox.rs", sql), 0);
    }

    #[test]
    fn two_rooms_do_not_create_one_table() {
        let one = migration(
            "services/media/migrations/1.sql",
            "create table task (id blob)",
        );
        let other = migration(
            "services/chat/migrations/1.sql",
            "create table task (id blob)",
        );
        assert_eq!(owners(&[one, other]).1.len(), 1);
        let one = migration(
            "services/media/migrations/1.sql",
            "create table outbox (id blob)",
        );
        let other = migration(
            "services/chat/migrations/1.sql",
            "create table outbox (id blob)",
        );
        assert!(owners(&[one, other]).1.is_empty());
    }
}
