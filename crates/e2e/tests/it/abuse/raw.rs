//! A connection whose bytes are the test's own, right or wrong.

use std::time::Duration;

use anyhow::{Context as _, Result};
use testkit::PATIENCE;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{interval, timeout},
};

/// Between two bytes of a client that drips.
const BEAT: Duration = Duration::from_millis(20);

/// The connection.
pub(crate) struct Raw(TcpStream);

// === impl Raw ===

impl Raw {
    /// Connects to `http://ADDRESS`.
    pub(crate) async fn connect(base: &str) -> Result<Self> {
        let address = base.strip_prefix("http://").context("no address")?;
        Ok(Self(TcpStream::connect(address).await?))
    }

    /// Says something: whether the other side still takes it.
    pub(crate) async fn say(&mut self, bytes: &[u8]) -> Result<bool> {
        let said = timeout(PATIENCE, self.0.write_all(bytes)).await;
        let said = said.context("the other side neither reads nor leaves")?;
        Ok(said.is_ok())
    }

    /// Reads until the other side has cut the line, and gives what it said before.
    pub(crate) async fn end(mut self) -> Result<String> {
        let mut answer = Vec::new();
        let ended = timeout(PATIENCE, self.0.read_to_end(&mut answer)).await;
        // Cut by force is cut.
        let _ = ended.context("the other side does not cut the line")?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Says one byte after another, over and over, until the other side has cut the line.
    pub(crate) async fn drip(self, text: &str) -> Result<()> {
        let (mut reader, mut writer) = self.0.into_split();
        let dripping = async {
            let mut beat = interval(BEAT);
            for byte in text.bytes().cycle() {
                beat.tick().await;
                if writer.write_all(&[byte]).await.is_err() {
                    break;
                }
            }
        };
        let mut answer = Vec::new();
        let cut = async {
            tokio::select! {
                _ = reader.read_to_end(&mut answer) => (),
                () = dripping => (),
            }
        };
        let cut = timeout(PATIENCE, cut).await;
        cut.context("a client that drips is not cut")
    }
}
