//! What every store must do, in a directory and in a bucket.
use std::{
    io::{Read as _, Seek as _, SeekFrom},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use chassis::config::Settings;
use futures::TryStreamExt as _;
use proto::code;
use tempfile::TempDir;
use testkit::{Answer, Bucket, Sink};
use tokio::runtime::Handle;

use super::{Note, StorageConfig, Store, Writer};
use crate::{Error, measure::FEW};

/// Bytes of a part.
const PART: usize = 5 * 1024 * 1024;
const KEY: &str = "task_1/0";

/// Runs each case in a directory and in a bucket.
macro_rules! in_both {
    ($($name:ident),* $(,)?) => {
        mod directory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::World::directory().await).await;
            })*
        }
        mod bucket {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::World::bucket().await).await;
            })*
        }
    };
}

in_both! {
    what_is_written_is_read_as_a_whole_and_in_part,
    nobody_reads_what_is_not_finished,
    what_a_process_that_died_left_is_abandoned,
    what_is_written_again_is_replaced_as_a_whole,
    what_is_deleted_is_gone,
    what_cannot_be_noted_is_given_up,
    an_object_can_be_gone_about_in,
}

struct World {
    store: Store,
    folder: TempDir,
    bucket: Option<Bucket>,
    noted: Arc<Noted>,
}

/// What was noted, in order.
#[derive(Default)]
struct Noted {
    ids: Mutex<Vec<Option<String>>>,
    fails: bool,
}

#[async_trait]
impl Note for Noted {
    async fn parts_are(&self, id: Option<&str>) -> Result<(), Error> {
        self.ids.lock().unwrap().push(id.map(str::to_owned));
        if self.fails {
            return Err(Error::Damaged("nobody notes it"));
        }
        Ok(())
    }
}

impl World {
    async fn directory() -> Self {
        let folder = TempDir::new().unwrap();
        let config = StorageConfig::default();
        Self {
            store: Store::open(&config, folder.path()).await.unwrap(),
            folder,
            bucket: None,
            noted: Arc::default(),
        }
    }

    async fn bucket() -> Self {
        let (bucket, folder) = (Bucket::start().await.unwrap(), TempDir::new().unwrap());
        let config = StorageConfig::read(&Settings::from_toml(&bucket.toml())).unwrap();
        Self {
            store: Store::open(&config, folder.path()).await.unwrap(),
            folder,
            bucket: Some(bucket),
            noted: Arc::default(),
        }
    }

    fn noted(&self) -> Vec<Option<String>> {
        self.noted.ids.lock().unwrap().clone()
    }

    async fn begin(&self) -> Writer {
        let note = Arc::clone(&self.noted);
        self.store.begin(KEY, note).await.unwrap()
    }

    /// Writes in pieces that fit no part.
    async fn write(&self, data: &[u8]) {
        let mut writer = self.begin().await;
        for piece in data.chunks(700_001) {
            writer.write(piece).await.unwrap();
        }
        writer.finish().await.unwrap();
    }

    async fn read(&self, from: usize, to: usize) -> Result<Vec<u8>, Error> {
        let range = u64::try_from(from).unwrap()..u64::try_from(to).unwrap();
        let parts: Vec<_> = self.store.read(KEY, range).await?.try_collect().await?;
        Ok(parts.concat())
    }

    /// What is kept of objects that are not finished.
    fn unfinished(&self) -> usize {
        match &self.bucket {
            Some(bucket) => bucket.unfinished().unwrap().len(),
            None => self
                .files()
                .iter()
                .filter(|name| name.contains('#'))
                .count(),
        }
    }

    fn files(&self) -> Vec<String> {
        match &self.bucket {
            Some(bucket) => bucket.objects().unwrap(),
            None => {
                let Ok(entries) = std::fs::read_dir(self.folder.path().join("task_1")) else {
                    return Vec::new();
                };
                let names = entries.map(|entry| entry.unwrap().file_name());
                names
                    .map(|name| format!("task_1/{}", name.to_str().unwrap()))
                    .collect()
            }
        }
    }

    fn is_bucket(&self) -> bool {
        self.bucket.is_some()
    }
}

/// Bytes, no two places of which look alike for long.
fn bytes(count: usize) -> Vec<u8> {
    let words = (0_u32..).flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes());
    words.take(count).collect()
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Fault(fault) if fault.code == code::NOT_FOUND)
}

async fn what_is_written_is_read_as_a_whole_and_in_part(world: World) {
    for (size, parts) in [(1, 0), (PART, 0), (PART + 1, 1), (2 * PART + 7, 2)] {
        let data = bytes(size);
        world.noted.ids.lock().unwrap().clear();
        world.write(&data).await;
        assert!(world.read(0, size).await.unwrap() == data, "{size}");
        for (from, to) in [
            (0, 1),
            (size / 2, size),
            (PART.min(size) - 1, (PART + 2).min(size)),
        ] {
            let part = world.read(from, to).await.unwrap();
            assert!(part == data[from..to], "{size}: {from} to {to}");
        }
        assert_eq!(
            (world.files(), world.unfinished()),
            (vec![KEY.to_owned()], 0)
        );
        // What fits into one part is never in parts.
        let expected = usize::from(parts > 0 && world.is_bucket());
        assert_eq!(world.noted().len(), expected, "{size}");
    }
}

async fn nobody_reads_what_is_not_finished(world: World) {
    let data = bytes(PART + 1_000_000);
    let mut writer = world.begin().await;
    writer.write(&data).await.unwrap();
    assert!(is_missing(&world.read(0, 1).await.unwrap_err()));
    assert!(world.unfinished() > 0);
    writer.abort().await.unwrap();
    assert_eq!(world.unfinished(), 0);
    assert!(is_missing(&world.read(0, 1).await.unwrap_err()));
    if world.is_bucket() {
        assert!(matches!(&world.noted()[..], [Some(_), None]));
    }
}

async fn what_a_process_that_died_left_is_abandoned(world: World) {
    let before = bytes(9);
    world.write(&before).await;
    let mut writer = world.begin().await;
    writer.write(&bytes(2 * PART + 1)).await.unwrap();
    // As a process leaves it that is killed.
    std::mem::forget(writer);
    assert!(world.unfinished() > 0);
    let parts = world.noted().pop().flatten();
    world.store.abandon(KEY, parts.as_deref()).await.unwrap();
    assert_eq!(world.unfinished(), 0);
    assert_eq!(world.read(0, 9).await.unwrap(), before, "the object stays");
    // Where nothing was begun, nothing is given up.
    world.store.abandon("task_2/0", None).await.unwrap();
}

async fn what_is_written_again_is_replaced_as_a_whole(world: World) {
    world.write(&bytes(PART + 5)).await;
    let second: Vec<u8> = bytes(PART + 9).into_iter().rev().collect();
    world.write(&second).await;
    assert!(world.read(0, second.len()).await.unwrap() == second);
}

async fn what_is_deleted_is_gone(world: World) {
    world.write(&bytes(3)).await;
    world.store.delete(KEY).await.unwrap();
    assert!(is_missing(&world.read(0, 1).await.unwrap_err()));
    assert_eq!(world.files(), Vec::<String>::new());
    world.store.delete(KEY).await.unwrap();
}

async fn what_cannot_be_noted_is_given_up(world: World) {
    let failing = Arc::new(Noted {
        fails: true,
        ..Noted::default()
    });
    let mut writer = world.store.begin(KEY, failing).await.unwrap();
    let written = writer.write(&bytes(PART + 1)).await;
    assert_eq!(written.is_err(), world.is_bucket());
    writer.abort().await.unwrap();
    assert_eq!((world.unfinished(), world.files()), (0, Vec::new()));
}

async fn an_object_can_be_gone_about_in(world: World) {
    let data = bytes(900_000);
    world.write(&data).await;
    let (store, handle) = (world.store.clone(), Handle::current());
    let gone_about = tokio::task::spawn_blocking(move || {
        let mut file = store.bytewise((KEY, 900_000), FEW, handle).unwrap();
        let mut read = |place: SeekFrom, count: usize| {
            let at = file.seek(place).unwrap();
            let mut found = Vec::new();
            let most = u64::try_from(count).unwrap();
            (&mut file).take(most).read_to_end(&mut found).unwrap();
            (at, found)
        };
        assert!(read(SeekFrom::Start(0), 900_000) == (0, data.clone()));
        assert_eq!(
            read(SeekFrom::End(-4), 9),
            (899_996, data[899_996..].to_vec())
        );
        assert_eq!(
            read(SeekFrom::Start(262_140), 8),
            (262_140, data[262_140..262_148].to_vec())
        );
        assert_eq!(
            read(SeekFrom::Current(-8), 2),
            (262_140, data[262_140..262_142].to_vec())
        );
        assert_eq!(read(SeekFrom::End(5), 1), (900_005, Vec::new()));
        assert!(file.seek(SeekFrom::End(-900_001)).is_err());
    });
    gone_about.await.unwrap();
}

#[tokio::test]
async fn only_so_much_of_a_bucket_is_fetched_to_measure_an_object() {
    let world = World::bucket().await;
    let size = 65 * 256 * 1024;
    world.write(&vec![7; size]).await;
    let (store, handle) = (world.store.clone(), Handle::current());
    let bytes = u64::try_from(size).unwrap();
    let read = tokio::task::spawn_blocking(move || {
        [FEW, bytes].map(|most| {
            let mut found = Vec::new();
            let file = store.bytewise((KEY, bytes), most, handle.clone());
            let is_cut = file.unwrap().read_to_end(&mut found).is_err();
            (is_cut, found.len())
        })
    });
    let some = size - 256 * 1024;
    assert_eq!(read.await.unwrap(), [(true, some), (false, size)]);
}

#[tokio::test]
async fn a_bucket_that_cannot_be_used_is_named_by_its_setting() {
    let bucket = Bucket::start().await.unwrap();
    let nobody = TempDir::new().unwrap();
    let good = bucket.toml();
    // The simulated one makes a bucket of any name.
    let without = Sink::start(Answer::Status(404)).await.unwrap();
    let nowhere = without.url("");
    let address = bucket.settings()[1].1.clone();
    for (from, to, named) in [
        (
            address.as_str(),
            nowhere.as_str(),
            "storage.s3.bucket: there is no bucket the-bucket",
        ),
        (
            "'the-key-id'",
            "'another'",
            "storage.s3.access_key_id, storage.s3.secret_access_key: they may not",
        ),
        (
            "canary-of-the-bucket",
            "wrong",
            "storage.s3.access_key_id, storage.s3.secret_access_key: they may not",
        ),
        (
            "127.0.0.1",
            "127.0.0.2",
            "storage.s3.endpoint: the bucket the-bucket cannot be used",
        ),
    ] {
        assert!(good.contains(from));
        let text = format!("{}\nretries = 0", good.replace(from, to));
        let config = StorageConfig::read(&Settings::from_toml(&text)).unwrap();
        let refused = Store::open(&config, nobody.path()).await;
        let message = refused.err().unwrap().to_string();
        assert!(message.contains(named), "{message}");
        assert!(!message.contains("canary"), "{message}");
    }
}
