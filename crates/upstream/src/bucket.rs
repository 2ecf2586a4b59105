//! The client for an object store: a service of the operator's, reached as he has set it up.

use std::time::Duration;

use crate::{Error, client::NAME, tls};

/// A client that keeps its connections, trusts the system's certificates, follows no redirects and no proxies of the environment, and
/// is as patient as it is told: with a connection, and with a peer that sends nothing.
///
/// # Errors
/// When a library refuses its settings.
pub fn bucket_client(connect: Duration, silence: Duration) -> Result<reqwest::Client, Error> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls::client_config(&[b"http/1.1"])?)
        .user_agent(NAME)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .http1_only()
        .tcp_nodelay(true)
        .connect_timeout(connect)
        .read_timeout(silence)
        .build()
        .map_err(Error::Client)
}
