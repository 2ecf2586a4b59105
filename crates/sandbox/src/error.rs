//! What can go wrong in the sandbox itself. Simulated failures are not errors: they are answers.

/// An error of the sandbox.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database of the bill failed.
    #[error("the sandbox's database failed")]
    Database(#[from] db::Error),
    /// A statement on the bill failed.
    #[error("a statement on the sandbox's bill failed")]
    Statement(#[from] sqlx::Error),
    /// A PNG could not be written.
    #[error("a PNG could not be encoded")]
    Png(#[from] png::EncodingError),
    /// A JPEG could not be written.
    #[error("a JPEG could not be encoded")]
    Jpeg(#[from] jpeg_encoder::EncodingError),
    /// No key could be made to sign with.
    #[error("no key could be made for signatures: {0}")]
    Key(ring::error::KeyRejected),
    /// The thread that draws a picture did not end.
    #[error("a picture could not be drawn")]
    Drawing(#[source] tokio::task::JoinError),
}
