//! A server that vanishes without a word: packets go out, none come back, and no connection is ever closed.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use chassis::{Tasks, config::Settings};
use db::{Db, Deliver, Error, Limits, Postgres, Relay};
use domain::Secret;
use testkit::{PATIENCE, eventually};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
    time::{Duration, timeout},
};
use tracing::Span;

use crate::house::{House, MIGRATIONS, ids, insert, patient};

/// How sqlx asks a connection whether it is alive: the message `Sync` alone.
const PING: &[u8] = &[b'S', 0, 0, 0, 4];

/// What becomes of what passes. A connection that was swallowed once stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Open,
    Swallows,
    /// The next connection that is asked whether it is alive never answers again.
    SwallowsNextPing,
}

/// Stands between a pool and its server.
struct Proxy {
    way: Arc<Mutex<Way>>,
    db: Db,
}

/// One connection through it.
#[derive(Clone)]
struct Line {
    way: Arc<Mutex<Way>>,
    swallowed: Arc<AtomicBool>,
}

impl Proxy {
    /// Connects through a proxy that is open.
    async fn before(house: &mut House, limits: &Limits) -> Self {
        let url = house.server().url.clone();
        let (role, address) = url.rsplit_once('@').unwrap();
        let (server, name) = address.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let way = Arc::new(Mutex::new(Way::Open));
        let tasks = Tasks::default();
        let listening = listen(listener, server.to_owned(), Arc::clone(&way), tasks.clone());
        tasks.spawn_detached(Span::none(), listening);
        let through = Postgres {
            url: Secret::new(format!("{role}@{here}/{name}")),
            schema: "things",
        };
        let db = Db::connect(&through, MIGRATIONS, limits, &tasks).await;
        Self {
            way,
            db: db.unwrap(),
        }
    }

    fn set(&self, way: Way) {
        *self.way.lock().unwrap() = way;
    }

    /// Waits until two readers can be had at once, and are back.
    async fn until_two_can_read(&self) {
        let reader = self.db.reader();
        eventually("two can read", async || {
            let (one, two) = tokio::join!(reader.acquire(), reader.acquire());
            Ok(one.and(two).ok().map(drop))
        })
        .await
        .unwrap();
        eventually("both are back", async || {
            Ok((reader.num_idle() == 2).then_some(()))
        })
        .await
        .unwrap();
    }
}

impl Line {
    fn swallows(&self, bytes: &[u8]) -> bool {
        let mut way = self.way.lock().unwrap();
        let now = match *way {
            Way::Open => false,
            Way::Swallows => true,
            Way::SwallowsNextPing => bytes == PING,
        };
        if now && *way == Way::SwallowsNextPing {
            *way = Way::Open;
        }
        self.swallowed.fetch_or(now, Ordering::SeqCst) || now
    }
}

async fn listen(listener: TcpListener, server: String, way: Arc<Mutex<Way>>, tasks: Tasks) {
    while let Ok((client, _)) = listener.accept().await {
        let (from_client, to_client) = client.into_split();
        let server = TcpStream::connect(&server).await.unwrap();
        let (from_server, to_server) = server.into_split();
        let line = Line {
            way: Arc::clone(&way),
            swallowed: Arc::default(),
        };
        tasks.spawn_detached(Span::none(), pass(from_client, to_server, line.clone()));
        tasks.spawn_detached(Span::none(), pass(from_server, to_client, line));
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, line: Line) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let bytes = buffer.get(..count).unwrap();
        if !line.swallows(bytes) && to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_without_an_answer_is_given_up_and_the_readers_recover() {
    let mut house = House::postgres().await;
    let limits = Limits {
        readers: 2,
        acquire_timeout: Duration::from_secs(1),
        statement_timeout: Duration::from_secs(1),
        // The clock takes no reader from the test.
        clock_interval: Duration::from_secs(3_600),
        ..patient()
    };
    let proxy = Proxy::before(&mut house, &limits).await;
    let db = &proxy.db;
    let settings = Settings::from_toml("").section("outbox").unwrap();
    let relay = Relay::new(db.clone(), settings, &["topic"]);
    let deliver: Deliver = Arc::new(|_| Box::pin(async { Ok(()) }));
    proxy.until_two_can_read().await;
    let silent = Notify::new();
    let question = db.read(async {
        let mut connection = db.reader().acquire().await?;
        proxy.set(Way::Swallows);
        silent.notify_one();
        let asked = sqlx::query_scalar("select count(*) from thing").fetch_one(&mut *connection);
        Ok::<i64, Error>(asked.await?)
    });
    let telling = async {
        silent.notified().await;
        relay.step("topic", &deliver).await
    };
    let both = timeout(PATIENCE, async { tokio::join!(question, telling) });
    let (asked, told) = both.await.expect("they are given up");
    let (asked, told) = (asked.unwrap_err(), told.unwrap_err());
    // It had its connection: it did not wait for one in vain.
    assert!(asked.is_away() && !asked.is_busy(), "{asked:?}");
    assert!(told.is_away(), "{told:?}");
    proxy.set(Way::Open);
    proxy.until_two_can_read().await;
    assert_eq!(relay.step("topic", &deliver).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_falls_silent_after_its_commit_is_replaced() {
    let mut house = House::postgres().await;
    let limits = Limits {
        writers: 1,
        write_acquire_timeout: Duration::from_secs(1),
        // Nobody else asks a connection whether it is alive.
        clock_interval: Duration::from_secs(3_600),
        ..patient()
    };
    let proxy = Proxy::before(&mut house, &limits).await;
    proxy.set(Way::SwallowsNextPing);
    insert(&proxy.db, 1).await.unwrap();
    eventually("the connection is swallowed", async || {
        Ok((*proxy.way.lock().unwrap() == Way::Open).then_some(()))
    })
    .await
    .unwrap();
    eventually("another connection writes", async || {
        Ok(insert(&proxy.db, 2).await.ok())
    })
    .await
    .unwrap();
    assert_eq!(ids(&house.db).await, [1, 2]);
}
