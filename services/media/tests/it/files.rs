//! Files that customers upload: what is taken, how much of it, and who finds it.

use std::{path::PathBuf, pin::pin};

use chassis::mint;
use db::Engine;
use domain::{FileId, ids};
use futures::{future::join_all, stream};
use proto::{
    Code, Fault, code,
    media::v1::{
        DeleteFileRequest, File, GetFileRequest, ListFilesRequest, ReadFileRequest, UploadEnd,
        UploadHead, UploadPart, output_part, upload_part::Part,
    },
};
use sqlx::Row as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    database::on_both_engines,
    house::{House, Running, eventually},
};

/// As good as a picture.
pub(crate) const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR and so on";

on_both_engines! {
    a_file_comes_in_and_is_read,
    a_file_is_its_accounts_alone,
    files_are_listed_page_by_page,
    what_cannot_be_kept_leaves_nothing,
    one_that_takes_too_long_is_given_up,
    an_account_keeps_so_many_bytes_however_many_ask,
    an_account_keeps_so_many_files,
}

pub(crate) fn parts(
    running: &Running,
    (id, bytes): (FileId, &[u8]),
    end: Option<UploadEnd>,
) -> Vec<UploadPart> {
    let head = Part::Head(UploadHead {
        context: Some(running.context()),
        file_id: id.to_vec().into(),
        filename: "a name.png".to_owned(),
        most_bytes: 0,
    });
    let data = bytes
        .chunks(1000)
        .map(|piece| Part::Data(piece.to_vec().into()));
    let parts = std::iter::once(head).chain(data).chain(end.map(Part::End));
    parts.map(|part| UploadPart { part: Some(part) }).collect()
}

pub(crate) fn end() -> UploadEnd {
    UploadEnd {
        purpose: "vision".to_owned(),
        expires_after: 0,
        briefly: false,
    }
}

async fn send(running: &Running, parts: Vec<UploadPart>) -> Result<File, Fault> {
    let uploaded = running.files.clone().upload(stream::iter(parts)).await;
    uploaded
        .map(tonic::Response::into_inner)
        .map_err(Fault::from)
}

pub(crate) async fn upload(running: &Running, bytes: &[u8]) -> Result<File, Fault> {
    send(running, parts(running, (mint(), bytes), Some(end()))).await
}

pub(crate) fn id(file: &File) -> FileId {
    FileId::from_slice(&file.file_id).unwrap()
}

pub(crate) async fn get(running: &Running, id: FileId) -> Result<File, Fault> {
    let request = GetFileRequest {
        context: Some(running.context()),
        file_id: id.to_vec().into(),
    };
    let found = running.files.clone().get_file(request).await;
    found.map(tonic::Response::into_inner).map_err(Fault::from)
}

pub(crate) async fn delete(running: &Running, id: FileId) -> Result<(), Fault> {
    let request = DeleteFileRequest {
        context: Some(running.context()),
        file_id: id.to_vec().into(),
    };
    let deleted = running.files.clone().delete_file(request).await;
    deleted.map(drop).map_err(Fault::from)
}

pub(crate) async fn read(
    running: &Running,
    id: FileId,
    range: (Option<u64>, Option<u64>),
) -> Result<Vec<u8>, Fault> {
    let request = ReadFileRequest {
        context: Some(running.context()),
        file_id: id.to_vec().into(),
        start: range.0,
        end: range.1,
    };
    let mut parts = running.files.clone().read_file(request).await?.into_inner();
    let mut bytes = Vec::new();
    while let Some(part) = parts.message().await? {
        match part.part.unwrap() {
            output_part::Part::Head(head) => assert_eq!(head.content_type, "image/png"),
            output_part::Part::Data(data) => bytes.extend_from_slice(&data),
        }
    }
    Ok(bytes)
}

pub(crate) async fn list(running: &Running, request: ListFilesRequest) -> Vec<FileId> {
    let request = ListFilesRequest {
        context: Some(running.context()),
        ..request
    };
    let listed = running.files.clone().list_files(request).await.unwrap();
    listed.into_inner().files.iter().map(id).collect()
}

pub(crate) fn folder(house: &House) -> PathBuf {
    house.database.directory().join("outputs/uploads")
}

/// Names of what lies on the disk.
pub(crate) fn on_disk(house: &House) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder(house)) else {
        return Vec::new();
    };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// What accounts have taken of their room: files, bytes.
async fn taken(running: &Running) -> (i64, i64) {
    let sums = "select cast(coalesce(sum(files), 0) as bigint) as files, cast(coalesce(sum(bytes), 0) as bigint) as bytes from upload_room";
    let row = sqlx::query(sums)
        .fetch_one(running.db.reader())
        .await
        .unwrap();
    (row.get("files"), row.get("bytes"))
}

pub(crate) async fn rows(running: &Running) -> i64 {
    let count = sqlx::query_scalar("select count(*) from upload");
    count.fetch_one(running.db.reader()).await.unwrap()
}

/// Waits until nothing is left of any file.
pub(crate) async fn nothing_is_left(house: &House, running: &Running) {
    eventually("nothing is left of it", async || {
        rows(running).await == 0 && on_disk(house).is_empty()
    })
    .await;
    assert_eq!(taken(running).await, (0, 0));
}

fn refused(outcome: Result<File, Fault>) -> (Code, Option<String>) {
    let fault = outcome.unwrap_err();
    (fault.code, fault.param)
}

async fn a_file_comes_in_and_is_read(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    let long: Vec<u8> = PNG.iter().copied().cycle().take(700_001).collect();
    let file = upload(&running, &long).await.unwrap();
    assert_eq!(
        (file.bytes, file.content_type.as_str()),
        (700_001, "image/png")
    );
    assert_eq!(
        (file.filename.as_str(), file.purpose.as_str()),
        ("a name.png", "vision")
    );
    assert_eq!(
        file.expires_at - file.created_at,
        30 * 24 * 3600 * 1_000_000
    );
    assert_eq!(get(&running, id(&file)).await.unwrap(), file);
    assert_eq!(
        taken(&running).await,
        (1, 700_001),
        "what was not needed is free again"
    );
    let whole = read(&running, id(&file), (None, None)).await.unwrap();
    assert!(whole == long);
    let part = read(&running, id(&file), (Some(1), Some(4))).await.unwrap();
    assert_eq!(part, b"PNG");
    let sealed: Vec<u8> = sqlx::query_scalar("select filename from upload")
        .fetch_one(running.db.reader())
        .await
        .unwrap();
    assert!(!sealed.windows(4).any(|window| window == b"name"));
}

async fn a_file_is_its_accounts_alone(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    let file = upload(&running, PNG).await.unwrap();
    let unknown = mint::<ids::File>();
    for (who, which) in [
        (&running.stranger(), id(&file)),
        (&running.live(), id(&file)),
        (&running, unknown),
    ] {
        let faults = [
            get(who, which).await.unwrap_err(),
            delete(who, which).await.unwrap_err(),
            read(who, which, (None, None)).await.unwrap_err(),
        ];
        for fault in faults {
            assert_eq!(fault.code, code::NOT_FOUND);
            assert_eq!(fault.message, "there is no such file for this key");
        }
    }
    // Another process sees it, and so does the next one.
    let other = house.start().await;
    assert_eq!(get(&other.of(&running), id(&file)).await.unwrap(), file);
    delete(&running, id(&file)).await.unwrap();
    assert_eq!(
        delete(&running, id(&file)).await.unwrap_err().code,
        code::NOT_FOUND
    );
    assert_eq!(
        get(&running, id(&file)).await.unwrap_err().code,
        code::NOT_FOUND
    );
    nothing_is_left(&house, &running).await;
}

async fn files_are_listed_page_by_page(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    let mut made = Vec::new();
    for number in 0..5_u8 {
        let purpose = if number == 2 { "batch" } else { "vision" };
        let end = UploadEnd {
            purpose: purpose.to_owned(),
            ..end()
        };
        let file = send(&running, parts(&running, (mint(), PNG), Some(end))).await;
        made.push(id(&file.unwrap()));
    }
    let page = |limit, after: Option<FileId>, oldest_first| ListFilesRequest {
        limit,
        oldest_first,
        after: after.map(FileId::to_vec).unwrap_or_default().into(),
        ..Default::default()
    };
    assert_eq!(list(&running, page(9, None, true)).await, made);
    let newest: Vec<_> = made.iter().rev().copied().collect();
    assert_eq!(list(&running, page(2, None, false)).await, newest[..2]);
    assert_eq!(
        list(&running, page(2, Some(newest[1]), false)).await,
        newest[2..4]
    );
    assert_eq!(
        list(&running, page(9, Some(made[3]), true)).await,
        made[4..]
    );
    let batch = ListFilesRequest {
        purpose: "batch".to_owned(),
        ..page(9, None, false)
    };
    assert_eq!(list(&running, batch).await, [made[2]]);
    assert!(
        list(&running.stranger(), page(9, None, false))
            .await
            .is_empty()
    );
    assert!(list(&running.live(), page(9, None, false)).await.is_empty());
}

async fn what_cannot_be_kept_leaves_nothing(engine: Engine) {
    let house = House::new(engine, vec![])
        .await
        .with_files("max_bytes = 10000\nretention = '2h'");
    let running = house.start().await;
    let file = || Some("file".to_owned());
    let large = [PNG, &[0; 10_000]].concat();
    let archive = [&b"PK\x03\x04"[..], &[0; 8000]].concat();
    for (bytes, expected) in [
        (&large[..], (code::BODY_TOO_LARGE, file())),
        (b"", (code::INVALID_PARAMETER, file())),
        (&archive, (code::INVALID_PARAMETER, file())),
        (b"\x00\x01", (code::INVALID_PARAMETER, file())),
    ] {
        assert_eq!(refused(upload(&running, bytes).await), expected);
        nothing_is_left(&house, &running).await;
    }
    for seconds in [1, 3599, 7201] {
        let end = UploadEnd {
            expires_after: seconds,
            ..end()
        };
        let sent = send(&running, parts(&running, (mint(), PNG), Some(end))).await;
        let param = Some("expires_after[seconds]".to_owned());
        assert_eq!(refused(sent), (code::INVALID_PARAMETER, param), "{seconds}");
    }
    let usual = upload(&running, PNG).await.unwrap();
    assert_eq!(usual.expires_at - usual.created_at, 7_200_000_000);
    delete(&running, id(&usual)).await.unwrap();
    // One that does not come to its end, in whichever way.
    let cut = send(&running, parts(&running, (mint(), PNG), None)).await;
    assert_eq!(refused(cut), (code::INVALID_PARAMETER, file()));
    nothing_is_left(&house, &running).await;
    {
        let (sender, receiver) = mpsc::channel(9);
        for part in parts(&running, (mint(), PNG), None) {
            sender.send(part).await.unwrap();
        }
        let mut files = running.files.clone();
        let mut call = pin!(files.upload(ReceiverStream::new(receiver)));
        eventually("it is coming", async || {
            assert!(futures::poll!(call.as_mut()).is_pending());
            rows(&running).await == 1
        })
        .await;
    }
    nothing_is_left(&house, &running).await;
    let most = [PNG, &vec![0; 10_000 - PNG.len()]].concat();
    let end = UploadEnd {
        expires_after: 3600,
        ..end()
    };
    let kept = send(&running, parts(&running, (mint(), &most), Some(end)))
        .await
        .unwrap();
    assert_eq!(
        (kept.bytes, kept.expires_at - kept.created_at),
        (10_000, 3_600_000_000)
    );
}

async fn an_account_keeps_so_many_bytes_however_many_ask(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    // While it comes, a file may have its most bytes: five of them, then.
    let house = house
        .with_files("max_bytes = 1000\nmax_total_bytes = 5000\ncoming.at_once_per_account = 64");
    let running = house.start().await;
    let second = match engine {
        Engine::Sqlite => running.clone(),
        Engine::Postgres => house.start().await.of(&running),
    };
    let whole = [PNG, &vec![0; 1000 - PNG.len()]].concat();
    let (whole, both) = (&whole, [&running, &second]);
    let uploads = (0..40).map(|number| upload(both[number % 2], whole));
    let (kept, refused): (Vec<_>, Vec<_>) =
        join_all(uploads).await.into_iter().partition(Result::is_ok);
    assert_eq!(kept.len(), 5);
    for fault in refused {
        assert_eq!(fault.unwrap_err().code, code::FILE_ROOM_FULL);
    }
    assert_eq!(taken(&running).await, (5, 5000));
    // Others have rooms of their own, the other mode as well.
    upload(&running.stranger(), whole).await.unwrap();
    upload(&running.live(), whole).await.unwrap();
    delete(&running, id(kept[0].as_ref().unwrap()))
        .await
        .unwrap();
    upload(&running, PNG).await.unwrap();
    let fault = upload(&running, PNG).await.unwrap_err();
    assert!(fault.message.contains("5000 bytes"), "{}", fault.message);
}

async fn an_account_keeps_so_many_files(engine: Engine) {
    let house = House::new(engine, vec![])
        .await
        .with_files("max_files = 3\ncoming.at_once_per_account = 64");
    let running = house.start().await;
    let uploads = (0..20).map(|_| upload(&running, PNG));
    let (kept, refused): (Vec<_>, Vec<_>) =
        join_all(uploads).await.into_iter().partition(Result::is_ok);
    assert_eq!((kept.len(), refused.len()), (3, 17));
    for fault in refused {
        assert_eq!(fault.unwrap_err().code, code::FILE_ROOM_FULL);
    }
    delete(&running, id(kept[0].as_ref().unwrap()))
        .await
        .unwrap();
    upload(&running, PNG).await.unwrap();
    let full = upload(&running, PNG).await.unwrap_err();
    assert_eq!(full.code, code::FILE_ROOM_FULL);
}

async fn one_that_takes_too_long_is_given_up(engine: Engine) {
    let house = House::new(engine, vec![])
        .await
        .with_files("coming.timeout = '300ms'");
    let running = house.start().await;
    let (sender, receiver) = mpsc::channel(9);
    for part in parts(&running, (mint(), PNG), None) {
        sender.send(part).await.unwrap();
    }
    let late = running
        .files
        .clone()
        .upload(ReceiverStream::new(receiver))
        .await;
    let fault = Fault::from(late.unwrap_err());
    assert_eq!(fault.code, code::REQUEST_TIMEOUT);
    nothing_is_left(&house, &running).await;
    drop(sender);
    upload(&running, PNG).await.unwrap();
}
