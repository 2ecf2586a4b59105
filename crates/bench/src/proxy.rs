//! The bare proxy: bytes in, bytes out, over pooled connections. No keys, no money, no JSON, no logs: what a gateway on
//! this HTTP stack cannot be faster than.

use crate::serve::serve;
use hyper::{
    Request, Response, Uri, body::Incoming, header, http::uri::Authority, service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, Error, connect::HttpConnector},
    rt::TokioExecutor,
};

type Pool = Client<HttpConnector, Incoming>;

/// Enough for every connection of the load generator to keep one upstream.
const IDLE_CONNECTIONS: usize = 1024;

/// Where the proxy forwards to.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// `host:port` of the upstream.
    upstream: Authority,
}

/// Serves until the benchmark ends.
pub(crate) async fn proxy(arguments: &Arguments) -> anyhow::Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let pool: Pool = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .build(connector);
    let upstream = arguments.upstream.clone();
    serve(service_fn(move |request| {
        forward(pool.clone(), upstream.clone(), request)
    }))
    .await
}

async fn forward(
    pool: Pool,
    upstream: Authority,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, Error> {
    let mut uri = request.uri().clone().into_parts();
    uri.scheme = Some(hyper::http::uri::Scheme::HTTP);
    uri.authority = Some(upstream);
    // Scheme, authority and the path of a request that was parsed already always make a URI.
    *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
    let headers = request.headers_mut();
    headers.remove(header::HOST);
    headers.remove(header::CONNECTION);
    let mut response = pool.request(request).await?;
    response.headers_mut().remove(header::CONNECTION);
    Ok(response)
}
