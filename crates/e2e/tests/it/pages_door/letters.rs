//! Letters: what they confirm, and whose password they set anew. The mail server is the test's own.

use std::sync::{Arc, Mutex};

use anyhow::{Result, ensure};
use testkit::{Aio, eventually};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{OTHER, PASSWORD, is_in, token};

#[tokio::test]
async fn letters_confirm_addresses_and_set_passwords_anew() -> Result<()> {
    let (url, letters, _serving) = mail_server().await?;
    let mut aio = Aio::with(&[
        ("AIO_SMTP__URL", &url),
        ("AIO_SMTP__FROM", "API in One <no-reply@example.com>"),
    ])
    .await?;
    let mut ann = aio.browser().await?;
    ann.sign_up("Ann", "ann@example.com", PASSWORD).await?;
    assert!(ann.get("/settings").await?.has("not confirmed"));
    let letter = next(&letters, 1).await?;
    assert!(letter.contains("To: ann@example.com"), "{letter}");
    let link = token(&letter)?.to_owned();
    let mut web = aio.browser().await?;
    assert_eq!(
        web.get(&format!("/confirm?token={link}")).await?.status,
        200
    );
    assert!(
        ann.get("/settings").await?.has("not confirmed"),
        "to look is not to confirm"
    );
    web.post("/confirm", &[("token", &link)]).await?;
    assert!(!ann.get("/settings").await?.has("not confirmed"));
    assert_eq!(web.post("/confirm", &[("token", &link)]).await?.status, 410);
    // Nobody sees whether an address is somebody's, and strangers get no letter.
    let strangers = web
        .post("/forgot", &[("email", "nobody@example.com")])
        .await?;
    let anns = web.post("/forgot", &[("email", "Ann@example.com")]).await?;
    assert_eq!(strangers.shown(), anns.shown());
    let letter = next(&letters, 2).await?;
    assert!(letter.contains("To: ann@example.com"), "{letter}");
    let link = token(&letter)?.to_owned();
    let fields = [("token", link.as_str()), ("password", "short")];
    assert_eq!(
        web.post("/reset", &fields).await?.status,
        400,
        "the link is still good"
    );
    let fields = [("token", link.as_str()), ("password", OTHER)];
    assert_eq!(web.post("/reset", &fields).await?.path, "/home");
    assert!(is_in(&mut web).await? && !is_in(&mut ann).await?);
    assert_eq!(web.post("/reset", &fields).await?.status, 410);
    ann.sign_in("ann@example.com", OTHER).await?;
    assert_eq!(letters.lock().map_or(0, |all| all.len()), 2);
    aio.finish().await
}

type Letters = Arc<Mutex<Vec<String>>>;

/// The letter that comes as this one, counted from 1.
async fn next(letters: &Letters, number: usize) -> Result<String> {
    eventually("a letter", async || {
        let all = letters.lock().map(|all| all.clone()).unwrap_or_default();
        Ok(all.get(number - 1).cloned())
    })
    .await
}

/// A mail server that takes every letter: where it is, what it took, and its work, which ends when this is dropped.
async fn mail_server() -> Result<(String, Letters, JoinSet<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("smtp://{}", listener.local_addr()?);
    let letters = Letters::default();
    let taken = Arc::clone(&letters);
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut senders = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let taken = Arc::clone(&taken);
            senders.spawn(async move { take(stream, &taken).await });
        }
    });
    Ok((url, letters, serving))
}

/// Enough of RFC 5321 for one sender.
async fn take(stream: TcpStream, letters: &Letters) -> Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 here\r\n").await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let letter = letter(&mut stream).await?;
                if let Ok(mut all) = letters.lock() {
                    all.push(letter);
                }
                stream.write_all(b"250 taken\r\n").await?;
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => stream.write_all(b"250 well\r\n").await?,
        }
        line.clear();
    }
    Ok(())
}

/// A letter up to its end, its lines as they were before they were encoded (RFC 2045, 6.7).
async fn letter(stream: &mut BufReader<TcpStream>) -> Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        ensure!(
            stream.read_line(&mut line).await? > 0,
            "a letter breaks off"
        );
        if line == ".\r\n" {
            return Ok(text.replace("=\r\n", "").replace("=3D", "="));
        }
        text.push_str(&line);
    }
}
