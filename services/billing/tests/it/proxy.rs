//! A way to PostgreSQL on which the question or the answer of a commit can get lost, with the connection: the moment in which
//! nobody knows whether it happened.

use std::{
    io,
    sync::{Arc, Mutex},
};

use chassis::Tasks;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tracing::Span;

/// What gets lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The question: nothing was committed.
    Question,
    /// The answer: it was.
    Answer,
}

/// A way to a server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Proxy {
    port: u16,
    /// What is lost next, last first.
    losses: Arc<Mutex<Vec<Loss>>>,
}

// === impl Proxy ===

impl Proxy {
    /// A way to the server on this port of this machine, as good as any so far.
    pub(crate) async fn to(server: u16, tasks: &Tasks) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            losses: Arc::default(),
        };
        let (accepting, connections) = (proxy.clone(), tasks.clone());
        tasks.spawn_detached(Span::none(), async move {
            while let Ok((client, _)) = listener.accept().await {
                let proxy = accepting.clone();
                connections.spawn_detached(Span::none(), async move {
                    // However it ends, both sides are closed.
                    let _ = proxy.carry(client, server).await;
                });
            }
        });
        proxy
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The next commits lose this, one after another.
    pub(crate) fn lose(&self, losses: &[Loss]) {
        self.losses.lock().unwrap().extend(losses);
    }

    /// What was to be lost and is not yet.
    pub(crate) fn to_be_lost(&self) -> usize {
        self.losses.lock().unwrap().len()
    }

    async fn carry(&self, mut client: TcpStream, server: u16) -> io::Result<()> {
        let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
        let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        loop {
            tokio::select! {
                read = client.read(&mut asked) => {
                    let question = &asked[..read?];
                    if question.is_empty() {
                        return Ok(());
                    }
                    let loss = self.loss(question);
                    if loss == Some(Loss::Question) {
                        return Ok(());
                    }
                    server.write_all(question).await?;
                    if loss == Some(Loss::Answer) {
                        // It has answered, so it has committed.
                        return server.read(&mut answered).await.map(drop);
                    }
                }
                read = server.read(&mut answered) => {
                    let answer = &answered[..read?];
                    if answer.is_empty() {
                        return Ok(());
                    }
                    client.write_all(answer).await?;
                }
            }
        }
    }

    fn loss(&self, question: &[u8]) -> Option<Loss> {
        // A setting of each new connection has the word in its name.
        let commits = question.windows(8).any(|words| words == b"; commit");
        commits.then(|| self.losses.lock().unwrap().pop()).flatten()
    }
}
