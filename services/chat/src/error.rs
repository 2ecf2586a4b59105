//! What can go wrong when the service starts: the operator's to mend. What a customer sees is in `fault.rs`.

/// The service could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot be read.
    #[error("{0}")]
    Config(#[from] chassis::config::Error),
    /// A base URL cannot be joined with a path.
    #[error("providers.{provider}.base_url takes no path")]
    BaseUrl {
        /// The provider.
        provider: String,
    },
    /// A credential cannot stand in a header.
    #[error("providers.{provider}.api_key holds characters that cannot be sent")]
    Credential {
        /// The provider.
        provider: String,
    },
    /// A model file names an adapter that is not here.
    #[error("the chat model {model} names the adapter {adapter}, which does not exist")]
    Adapter {
        /// The model.
        model: String,
        /// What its file says.
        adapter: String,
    },
    /// The client for providers cannot be built.
    #[error("calls to providers cannot be set up")]
    Upstream(#[source] upstream::Error),
}
