//! The one way out of the sandbox: a POST to somebody who asked to be told. It does not follow redirects and speaks no TLS.

use bytes::Bytes;
use http::{HeaderName, Request, StatusCode, Uri, header};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Why nobody was told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undelivered {
    #[error("the URL is none that begins with http:// and names a host")]
    NoHost,
    #[error(transparent)]
    Url(#[from] http::uri::InvalidUri),
    #[error(transparent)]
    Request(#[from] http::Error),
    #[error(transparent)]
    Connection(#[from] std::io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
}

/// Posts JSON, and says how it was answered.
pub(crate) async fn post(
    url: &str,
    body: &Bytes,
    signed_with: Vec<(HeaderName, String)>,
) -> Result<StatusCode, Undelivered> {
    let uri: Uri = url.parse()?;
    let authority = uri
        .authority()
        .filter(|_| uri.scheme_str() == Some("http"))
        .ok_or(Undelivered::NoHost)?;
    let place = (authority.host(), authority.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(place).await?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await?;
    let mut request = Request::post(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, authority.as_str())
        .header(header::CONTENT_TYPE, "application/json");
    for (name, value) in signed_with {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(body.clone()))?;
    let (answer, _closed) = futures::join!(
        async {
            let answer = sender.send_request(request).await;
            // The connection ends when nobody can send on it any more.
            drop(sender);
            answer.map(|answer| answer.status())
        },
        connection
    );
    Ok(answer?)
}
