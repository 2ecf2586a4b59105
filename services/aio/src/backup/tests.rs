//! Backups made and brought back, whole and damaged, without a program that runs.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
};

use chassis::{Tasks, config::Settings};
use clap::Parser as _;
use db::{Db, Limits};
use tempfile::TempDir;
use testkit::PATIENCE;

use super::{backup, manifest::SUMS, restore, restore::UNFINISHED};
use crate::{
    args::{Args, Care, Command},
    stores::STORES,
    up,
};

/// A data directory with the databases of some services, a file and secrets; beside it there is room for copies.
async fn house() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir_all(data.join("outputs/uploads/a")).unwrap();
    fs::write(data.join("outputs/uploads/a/0"), "a file").unwrap();
    fs::write(data.join("secrets.toml"), "key_mac = 'x'\n").unwrap();
    for store in STORES.iter().filter(|store| store.name != "billing") {
        let tasks = Tasks::default();
        let path = data.join(store.file());
        Db::open(&path, store.migrations, &Limits::default(), &tasks)
            .await
            .unwrap();
        tasks.stop(PATIENCE).await;
    }
    folder
}

/// Runs a command as it is typed, `/` before what is in the folder.
fn run(folder: &Path, line: &str) -> anyhow::Result<()> {
    let words = line.replace(" /", &format!(" {}/", folder.display()));
    let args = Args::try_parse_from(words.split(' '))?;
    let settings = Settings::from_toml("");
    match args.command.clone() {
        Some(Command::Care(Care::Backup(asked))) => backup(&settings, &args.data_dir(), &asked),
        Some(Command::Care(Care::Restore(asked))) => restore(&settings, &args.data_dir(), &asked),
        _ => panic!("{line} is neither"),
    }
    .map(drop)
}

fn refusal(folder: &Path, line: &str) -> String {
    format!("{:#}", run(folder, line).unwrap_err())
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn what_is_copied_comes_back() {
    let house = house().await;
    let home = house.path();
    for place in ["plain", "one.tar"] {
        run(home, &format!("aio backup --data-dir /data --to /{place}")).unwrap();
        let back = home.join(format!("back-{place}"));
        run(
            home,
            &format!("aio restore --from /{place} --data-dir /back-{place}"),
        )
        .unwrap();
        assert_eq!(read(&back.join("outputs/uploads/a/0")), "a file");
        assert_eq!(read(&back.join("secrets.toml")), "key_mac = 'x'\n");
        let needed = STORES[1].migrations.last().unwrap().version;
        let file = back.join(STORES[1].file());
        assert_eq!(db::standing(&file, STORES[1].migrations).unwrap(), needed);
        assert!(up::own(&back).is_ok());
        // And nothing is overwritten.
        let again = refusal(
            home,
            &format!("aio restore --from /{place} --data-dir /back-{place}"),
        );
        assert!(again.contains("is not empty"), "{again}");
        let again = refusal(home, &format!("aio backup --data-dir /data --to /{place}"));
        assert!(again.contains("is there already"), "{again}");
    }
}

#[tokio::test]
async fn what_is_to_be_left_out_is() {
    let house = house().await;
    let home = house.path();
    let line = "aio backup --without files --without secrets --data-dir /data --to /plain";
    run(home, line).unwrap();
    assert!(!home.join("plain/outputs").exists() && !home.join("plain/secrets.toml").exists());
    let manifest = read(&home.join("plain/manifest.json"));
    assert_eq!(manifest.matches("left_out").count(), 2, "{manifest}");
    run(home, "aio restore --from /plain --data-dir /back").unwrap();
    let nothing = refusal(home, "aio backup --data-dir /nowhere --to /other");
    assert!(nothing.contains("there are no databases at"), "{nothing}");
}

#[tokio::test]
async fn a_damaged_backup_is_refused_and_leaves_nothing() {
    let house = house().await;
    let home = house.path();
    type Damage = fn(&Path);
    let damages: [(Damage, &str); 6] = [
        (
            |at| fs::write(at.join("outputs/uploads/a/0"), "b file").unwrap(),
            "is damaged",
        ),
        (
            |at| fs::remove_file(at.join("media.db")).unwrap(),
            "media.db is missing",
        ),
        (
            |at| fs::remove_file(at.join(SUMS)).unwrap(),
            "there is no SHA256SUMS",
        ),
        (
            |at| {
                let sums = read(&at.join(SUMS)).replace("outputs/", "../");
                fs::write(at.join(SUMS), sums).unwrap();
            },
            "which is no place",
        ),
        (
            |at| {
                let newer =
                    read(&at.join("manifest.json")).replace("\"format\": 1", "\"format\": 2");
                sign(at, "manifest.json", &newer);
            },
            "run a newer program",
        ),
        (
            |at| {
                let other =
                    read(&at.join("manifest.json")).replace("\"person\": 0", "\"person\": 7");
                sign(at, "manifest.json", &other);
            },
            "does not hold what manifest.json says",
        ),
    ];
    for (number, (damage, said)) in damages.into_iter().enumerate() {
        run(
            home,
            &format!("aio backup --data-dir /data --to /c{number}"),
        )
        .unwrap();
        damage(&home.join(format!("c{number}")));
        let line = format!("aio restore --from /c{number} --data-dir /back{number}");
        let refused = refusal(home, &line);
        assert!(refused.contains(said), "{said}: {refused}");
        let left = fs::read_dir(home.join(format!("back{number}"))).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["lock"], "{said}");
    }
}

/// Writes a file of a backup anew, and its sum.
fn sign(at: &Path, name: &str, text: &str) {
    use std::io::Read as _;
    fs::write(at.join(name), text).unwrap();
    let mut summing = super::manifest::Summing::new(text.as_bytes());
    summing.read_to_end(&mut Vec::new()).unwrap();
    let sum = summing.sum();
    let sums: String = read(&at.join(SUMS))
        .lines()
        .map(|line| match line.split_once("  ") {
            Some((_, path)) if path == name => format!("{sum}  {name}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    fs::write(at.join(SUMS), sums).unwrap();
}

#[tokio::test]
async fn a_tar_file_that_was_cut_or_leads_outside_is_refused() {
    let house = house().await;
    let home = house.path();
    run(home, "aio backup --data-dir /data --to /one.tar").unwrap();
    let whole = fs::read(home.join("one.tar")).unwrap();
    fs::write(home.join("cut.tar"), &whole[..whole.len() / 2]).unwrap();
    let refused = refusal(home, "aio restore --from /cut.tar --data-dir /back");
    assert!(refused.contains("cut.tar"), "{refused}");
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..9].copy_from_slice(b"../escape");
    header.set_size(1);
    header.set_cksum();
    let mut file = File::create(home.join("out.tar")).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.write_all(&[b'x'; 512]).unwrap();
    file.write_all(&[0; 1024]).unwrap();
    let refused = refusal(home, "aio restore --from /out.tar --data-dir /back");
    assert!(refused.contains("is no place in a backup"), "{refused}");
    assert!(!home.join("escape").exists());
}

#[tokio::test]
async fn nothing_starts_on_a_restore_that_was_broken_off() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(UNFINISHED)).unwrap();
    let refused = up::own(folder.path()).unwrap_err().to_string();
    assert!(refused.contains("was not finished"), "{refused}");
    let line = "aio restore --from / --data-dir /";
    assert!(refusal(folder.path(), line).contains("is not empty"));
    let line = "aio backup --to /x --data-dir /";
    assert!(refusal(folder.path(), line).contains("was not finished"));
}

#[test]
fn the_servers_of_the_roles_are_not_copied() {
    let settings = Settings::from_toml("[database]\nurl = 'postgres://a@b/c'");
    let refused = super::of_one_process(&settings).unwrap_err().to_string();
    assert!(refused.contains("docs/backup.md"), "{refused}");
}
