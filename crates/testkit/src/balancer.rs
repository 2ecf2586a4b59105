//! What stands before several processes of a role: a proxy that gives each new connection to the next process that says it is ready, as
//! orchestrators do. A connection stays where it is as long as both ends want it, whatever the process says meanwhile.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use chassis::Tasks;
use futures::future::join_all;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tracing::Span;

use crate::eventually;

/// How often processes are asked whether they are ready, and how long each may take to answer.
const EVERY: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(2);
/// How a process that is ready answers.
const READY: &[u8] = b"HTTP/1.1 200";

/// The proxy. It takes no connection any more once it is dropped.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    tasks: Tasks,
}

/// One process.
#[derive(Debug)]
struct Place {
    address: String,
    is_ready: AtomicBool,
}

// === impl Balancer ===

impl Balancer {
    /// Stands before these processes (`http://127.0.0.1:PORT`), once one of them is ready.
    ///
    /// # Errors
    /// When there is no port, or none gets ready.
    pub async fn start(bases: &[String]) -> Result<Self> {
        let places = bases.iter().map(|base| Place {
            address: base.trim_start_matches("http://").to_owned(),
            is_ready: AtomicBool::new(false),
        });
        let places: Arc<[Place]> = places.collect();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let balancer = Self {
            address: listener.local_addr()?,
            tasks: Tasks::default(),
        };
        let (asked, tasks) = (Arc::clone(&places), balancer.tasks.clone());
        tasks.clone().spawn_detached(Span::none(), async move {
            while !tasks.is_leaving() {
                join_all(asked.iter().map(Place::look)).await;
                sleep(EVERY).await;
            }
        });
        eventually("a process is ready", async || {
            let ready = places.iter().any(Place::is_ready);
            Ok(ready.then_some(()))
        })
        .await?;
        let tasks = balancer.tasks.clone();
        balancer
            .tasks
            .spawn_detached(Span::none(), serve(listener, places, tasks));
        Ok(balancer)
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.tasks.leave();
    }
}

async fn serve(listener: TcpListener, places: Arc<[Place]>, tasks: Tasks) {
    let turns = AtomicUsize::new(0);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = tasks.leaving() => return,
        };
        let Ok((client, _address)) = accepted else {
            continue;
        };
        let ready: Vec<&Place> = places.iter().filter(|place| place.is_ready()).collect();
        let turn = turns.fetch_add(1, Ordering::Relaxed);
        let chosen = turn.checked_rem(ready.len()).and_then(|at| ready.get(at));
        // With nobody there the client's connection is closed, and so it is where one cannot be made.
        let Some(address) = chosen.map(|place| place.address.clone()) else {
            continue;
        };
        tasks.spawn_detached(Span::none(), async move {
            // How a connection ends is for its ends to know.
            let _ = pass(client, &address).await;
        });
    }
}

/// Passes on what comes from either side.
async fn pass(mut client: TcpStream, address: &str) -> Result<()> {
    let mut server = TcpStream::connect(address).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

// === impl Place ===

impl Place {
    fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    async fn look(&self) {
        let answer = timeout(PATIENCE, self.ask()).await;
        let is_ready = answer.is_ok_and(|answer| answer.is_ok_and(|begins| begins == READY));
        self.is_ready.store(is_ready, Ordering::Relaxed);
    }

    /// How the answer to `GET /readyz` begins.
    async fn ask(&self) -> Result<[u8; READY.len()]> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let request = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await?;
        let mut begins = [0; READY.len()];
        let read = stream.read_exact(&mut begins).await;
        read.context("no answer")?;
        Ok(begins)
    }
}
