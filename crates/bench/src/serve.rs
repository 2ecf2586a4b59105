//! The HTTP server under the mock upstream and the bare proxy: HTTP/1.1, one thread, nothing that costs time.

use hyper::{
    Request, Response,
    body::{Body, Incoming},
    server::conn::http1,
    service::Service,
};
use hyper_util::rt::TokioIo;
use std::{error::Error, io::Write};
use tokio::{net::TcpListener, task::JoinSet};

/// Listens on a free port of the loopback interface, prints the address as one line, and serves until standard input
/// closes, which it does when the benchmark ends.
pub(crate) async fn serve<S, B>(service: S) -> anyhow::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    let (mut input, mut nothing) = (tokio::io::stdin(), tokio::io::sink());
    let parent = tokio::io::copy(&mut input, &mut nothing);
    tokio::pin!(parent);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
                connections.spawn(connection);
            }
            // A connection that broke is counted by the load generator.
            Some(_) = connections.join_next() => {}
            _ = &mut parent => return Ok(()),
        }
    }
}
