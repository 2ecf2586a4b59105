//! Why something of the dashboard's own did not work. What other services refuse is a [`proto::Fault`].

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting has a wrong value.
    #[error(transparent)]
    Config(#[from] chassis::config::Error),
    /// What the API says of itself is not JSON.
    #[error("the OpenAPI document cannot be read")]
    OpenApi(#[source] serde_json::Error),
    /// The edge has no such address.
    #[error("peers.edge must be http://host:port, several with commas between, or empty")]
    EdgeAddress,
    /// Style or script cannot be packed.
    #[error("cannot pack the style or the script")]
    Assets(#[from] std::io::Error),
    /// The database is away, or refuses.
    #[error("the database failed")]
    Db(#[from] db::Error),
    /// A row is not as it was written.
    #[error("{0} in the database cannot be read")]
    Damaged(&'static str),
    /// `smtp.url` is none, or `smtp.from` is missing or no address.
    #[error("smtp.{0}")]
    Smtp(&'static str),
    /// The library of passkeys refuses what it is asked for.
    #[error("passkeys cannot be used")]
    Passkeys(#[source] webauthn_rs::prelude::WebauthnError),
    /// A password cannot be hashed.
    #[error("a password cannot be hashed")]
    Hash,
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}
