//! Files in a bucket in the place of a directory: what a task made, what a customer has uploaded, and what a killed process was at.

use anyhow::{Context as _, Result, ensure};
use http::Method;
use testkit::{Account, Aio, Bucket, Role, eventually};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    say::image,
    uploads::{PNG, upload},
};

/// A process whose files are in the bucket.
async fn start(bucket: &Bucket, more: &[(&str, &str)]) -> Result<Aio> {
    let env = bucket.env();
    let named = env
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let env: Vec<_> = named.chain(more.iter().copied()).collect();
    Aio::with(&env).await
}

#[tokio::test]
async fn a_task_and_a_file_are_kept_in_a_bucket() -> Result<()> {
    let bucket = Bucket::start().await?;
    let mut aio = start(&bucket, &[]).await?;
    let api = aio.account(100).await?.api;
    let file = upload(&api, "a.png", PNG).await?;
    let content = format!("/files/{file}/content");
    let task = api.image(&image("a fox")).await?;
    let done = api.ended(&task).await?;
    ensure!(done["status"] == "completed", "{done}");
    ensure!(done["output"][0]["width"] == 1024, "{done}");
    let output = format!("/tasks/{task}/files/0");
    ensure!(bucket.objects()? == [format!("{task}/0"), format!("uploads/{file}")]);
    // Another process finds them.
    aio.kill()?;
    aio.restart().await?;
    ensure!(api.get(&content).await?.body == PNG);
    let range = [("range", "bytes=1-3")];
    let part = api.send(Method::GET, &output, &range, Vec::new()).await?;
    ensure!(part.status == 206 && part.body == "PNG", "{part}");
    let path = format!("/files/{file}");
    api.send(Method::DELETE, &path, &[], Vec::new()).await?;
    eventually("the file is gone", async || {
        let left = bucket.objects()?;
        Ok((left == [format!("{task}/0")]).then_some(()))
    })
    .await?;
    aio.finish().await
}

#[tokio::test]
async fn a_bucket_that_cannot_be_used_is_found_out_before_anything_starts() -> Result<()> {
    let bucket = Bucket::start().await?;
    let mut aio = Aio::embedded().await?;
    for (name, value) in bucket.env() {
        aio.set(&name, &value);
    }
    let check = aio.command(&["config", "check"]).await?;
    ensure!(check.status.success(), "{check:?}");
    aio.set("AIO_STORAGE__S3__SECRET_ACCESS_KEY", "wrong");
    let check = aio.command(&["config", "check"]).await?;
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    ensure!(!check.status.success(), "{said}");
    ensure!(
        said.contains("storage.s3.secret_access_key: they may not"),
        "{said}"
    );
    aio.finish().await
}

#[tokio::test]
async fn what_came_of_a_file_whose_process_was_killed_is_deleted() -> Result<()> {
    let bucket = Bucket::start().await?;
    let times = [
        ("AIO_LIMITS__FILES__COMING__TIMEOUT", "20s"),
        ("AIO_LIMITS__MEDIA__LEASE", "2s"),
    ];
    let mut aio = start(&bucket, &times).await?;
    let account = aio.account(100).await?;
    let sent = send_most(&aio, &account).await?;
    eventually("two parts are there", async || {
        Ok((bucket.unfinished()?.len() >= 3).then_some(()))
    })
    .await?;
    aio.kill_role(Role::Media)?;
    drop(sent);
    aio.restart_role(Role::Media).await?;
    eventually("nothing is left of it", async || {
        let nothing = bucket.unfinished()?.is_empty() && bucket.objects()?.is_empty();
        Ok(nothing.then_some(()))
    })
    .await?;
    upload(&account.api, "a.png", PNG).await?;
    aio.finish().await
}

/// Sends most of a form with a long file, and leaves it at that.
async fn send_most(aio: &Aio, account: &Account) -> Result<TcpStream> {
    let address = aio.base();
    let address = address.strip_prefix("http://").context("no address")?;
    let mut stream = TcpStream::connect(address).await?;
    let form = "--b\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nvision\r\n--b\r\n\
        content-disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\r\n";
    let head = format!(
        "POST /api/v1/files HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
         content-type: multipart/form-data; boundary=b\r\ncontent-length: 20000000\r\n\r\n{form}",
        account.key
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(PNG).await?;
    stream.write_all(&vec![0; 12_000_000]).await?;
    stream.flush().await?;
    let mut refused = [0; 1];
    let early = tokio::time::timeout(
        std::time::Duration::from_millis(1),
        stream.read(&mut refused),
    );
    ensure!(early.await.is_err(), "it was answered before it had come");
    Ok(stream)
}
