//! A way between two processes on which things go wrong: bytes that do not arrive until it is mended, answers that do not, bytes that
//! come in crumbs or late, connections that are cut. What is sent meanwhile is not lost but comes later, as TCP has it.

use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
    time::sleep,
};

/// How the way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// As good as any.
    Open,
    /// Nothing passes, in neither direction, and nobody is told.
    Hole,
    /// Questions pass, answers do not.
    Deaf,
    /// A few bytes at a time.
    Crumbs,
    /// Everything passes so much later.
    Late(Duration),
}

/// Bytes of a crumb, and how long until the next.
const CRUMB: usize = 64;
const CRUMB_PAUSE: Duration = Duration::from_millis(1);
const BUFFER: usize = 16 * 1024;

/// The way to one address. Dropping it ends all connections.
#[derive(Debug)]
pub(crate) struct Link {
    address: SocketAddr,
    way: watch::Sender<Way>,
    /// How often connections were cut.
    cuts: watch::Sender<u64>,
    _accepting: JoinSet<()>,
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Question,
    Answer,
}

// === impl Link ===

impl Link {
    /// A way to `target`, as good as any so far.
    pub(crate) fn to(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (way, seen) = watch::channel(Way::Open);
        let (cuts, cut) = watch::channel(0);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        if let Ok((client, _)) = accepted {
                            connections.spawn(carry(client, target, seen.clone(), cut.clone()));
                        }
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self {
            address,
            way,
            cuts,
            _accepting: accepting,
        })
    }

    /// A way to the host and port of a URL: the URL that leads there by it, and the way.
    pub(crate) fn of_url(url: &str) -> Result<(String, Self)> {
        let place = place_of(url)?;
        let link = Self::to(place)?;
        Ok((
            url.replace(&place.to_string(), &link.address.to_string()),
            link,
        ))
    }

    /// Makes the way like this, for what is under way as well.
    pub(crate) fn make(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// Cuts every connection.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts = cuts.wrapping_add(1));
    }
}

/// The host and port of a URL.
pub(crate) fn place_of(url: &str) -> Result<SocketAddr> {
    let (_, rest) = url.split_once("://").context("no URL")?;
    let place = rest.split('/').next().unwrap_or_default();
    let place = place.rsplit('@').next().unwrap_or_default();
    place.parse().with_context(|| place.to_owned())
}

/// One connection, until either side or somebody in between ends it.
async fn carry(
    client: TcpStream,
    target: SocketAddr,
    mut way: watch::Receiver<Way>,
    mut cut: watch::Receiver<u64>,
) {
    cut.mark_unchanged();
    let carried = async {
        // A hole swallows the first packet as well.
        passable(&mut way, Direction::Question).await;
        let server = TcpStream::connect(target).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let answers = pump(from_server, to_client, way.clone(), Direction::Answer);
        let questions = pump(from_client, to_server, way, Direction::Question);
        tokio::try_join!(questions, answers)
    };
    // However it ends, both sides are closed.
    tokio::select! {
        _ = carried => {}
        _ = cut.changed() => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut way: watch::Receiver<Way>,
    direction: Direction,
) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await?;
        let mut rest = buffer.get(..count).unwrap_or_default();
        let how = passable(&mut way, direction).await;
        if rest.is_empty() {
            return to.shutdown().await;
        }
        if let Way::Late(pause) = how {
            sleep(pause).await;
        }
        let most = if how == Way::Crumbs { CRUMB } else { BUFFER };
        while !rest.is_empty() {
            let (crumb, more) = rest.split_at(most.min(rest.len()));
            to.write_all(crumb).await?;
            rest = more;
            if how == Way::Crumbs {
                sleep(CRUMB_PAUSE).await;
            }
        }
    }
}

/// Waits until something can pass in this direction, and says how the way is then.
async fn passable(way: &mut watch::Receiver<Way>, direction: Direction) -> Way {
    let passes = |way: &Way| match way {
        Way::Hole => false,
        Way::Deaf => direction == Direction::Question,
        Way::Open | Way::Crumbs | Way::Late(_) => true,
    };
    let how = way.wait_for(passes).await.map(|how| *how);
    match how {
        Ok(how) => how,
        // The way is gone, and with it whoever waits here.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    /// Longer than anything here takes, and how long nothing may come.
    const LONG: Duration = Duration::from_secs(20);
    const SILENCE: Duration = Duration::from_millis(200);

    async fn echo() -> (SocketAddr, JoinSet<()>) {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                open.spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        (address, serving)
    }

    async fn say(stream: &mut TcpStream, word: &[u8]) -> Option<Vec<u8>> {
        stream.write_all(word).await.ok()?;
        let mut heard = vec![0; word.len()];
        let read = timeout(LONG, stream.read_exact(&mut heard)).await.ok()?;
        read.ok().map(|_| heard)
    }

    #[tokio::test]
    async fn what_falls_into_a_hole_comes_out_when_it_is_closed() {
        let (address, _serving) = echo().await;
        let link = Link::to(address).unwrap();
        let mut stream = TcpStream::connect(link.address).await.unwrap();
        assert_eq!(say(&mut stream, b"one").await.unwrap(), b"one");
        for way in [Way::Hole, Way::Deaf] {
            link.make(way);
            stream.write_all(b"two").await.unwrap();
            let mut heard = [0; 3];
            let early = timeout(SILENCE, stream.read_exact(&mut heard)).await;
            assert!(early.is_err(), "{way:?} lets something through");
            link.make(Way::Open);
            timeout(LONG, stream.read_exact(&mut heard))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(&heard, b"two");
        }
        link.make(Way::Crumbs);
        let long = vec![7; 10 * CRUMB + 1];
        assert_eq!(say(&mut stream, &long).await.unwrap(), long);
    }

    #[tokio::test]
    async fn a_cut_ends_what_is_open_and_nothing_that_comes_later() {
        let (address, _serving) = echo().await;
        let (url, link) = Link::of_url(&format!("amqp://guest:guest@{address}/%2f")).unwrap();
        assert_eq!(url, format!("amqp://guest:guest@{}/%2f", link.address));
        let mut stream = TcpStream::connect(link.address).await.unwrap();
        assert_eq!(say(&mut stream, b"one").await.unwrap(), b"one");
        link.cut();
        assert_eq!(say(&mut stream, b"two").await, None);
        let mut later = TcpStream::connect(link.address).await.unwrap();
        assert_eq!(say(&mut later, b"three").await.unwrap(), b"three");
    }
}
