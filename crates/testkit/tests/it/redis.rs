//! Redis: on its port again after a restart, and empty.

use anyhow::{Context as _, Result};
use testkit::servers::Redis;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

#[tokio::test]
async fn a_restart_keeps_the_port_and_loses_the_rest() -> Result<()> {
    let mut server = Redis::start().await?;
    let url = server.url();
    assert_eq!(say(&url, "SET a 1").await?, "+OK");
    assert_eq!(say(&url, "DBSIZE").await?, ":1");
    server.flush().await?;
    assert_eq!(say(&url, "DBSIZE").await?, ":0");
    assert_eq!(say(&url, "SET a 1").await?, "+OK");
    server.kill()?;
    assert!(say(&url, "PING").await.is_err());
    server.restart().await?;
    assert_eq!(server.url(), url);
    assert_eq!(say(&url, "DBSIZE").await?, ":0");
    Ok(())
}

async fn say(url: &str, words: &str) -> Result<String> {
    let address = url.strip_prefix("redis://").context("no URL")?;
    let address = address.split('/').next().context("no address")?;
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(format!("{words}\r\nQUIT\r\n").as_bytes())
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}
