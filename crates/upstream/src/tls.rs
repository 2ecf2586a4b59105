//! TLS for outgoing calls: the ring provider handed in explicitly, the system's certificates, no client certificate.
//!
//! It must not touch the process-wide provider: whoever links this room keeps that choice.

use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::crypto::ring;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::Error;

/// The settings of one client, offering the protocols of `alpn` in this order.
///
/// On a machine without any certificate authority the program must still start (the sandbox needs none), so that case
/// gives settings that trust nobody: every `https` call then fails its handshake, and the log says what to install.
pub(crate) fn client_config(alpn: &[&[u8]]) -> Result<ClientConfig, Error> {
    let mut config = match builder()?.with_platform_verifier() {
        Ok(verified) => finish(verified),
        Err(error) => {
            tracing::warn!(%error, "no certificate authorities found: https calls will fail until ca-certificates is installed");
            finish(builder()?.with_root_certificates(RootCertStore::empty()))
        }
    };
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

fn builder() -> Result<ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Error> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)
}

fn finish(verified: ConfigBuilder<ClientConfig, WantsClientCert>) -> ClientConfig {
    verified.with_no_client_auth()
}
