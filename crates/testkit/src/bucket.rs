//! A bucket on loopback: a server that speaks Amazon's S3, its requests signed, over a folder that is gone with it.

use std::{net::SocketAddr, path::Path};

use anyhow::Result;
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use chassis::Tasks;
use http::StatusCode;
use s3s::{
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tracing::Span;

/// Its name.
const NAME: &str = "the-bucket";
/// Whose requests are answered.
const ID: &str = "the-key-id";
/// What they are signed with.
pub(crate) const SECRET: &str = "canary-of-the-bucket";
/// What every key begins with.
const PREFIX: &str = "aio/test";

/// The bucket.
#[derive(Debug)]
pub struct Bucket {
    address: SocketAddr,
    folder: TempDir,
}

// === impl Bucket ===

impl Bucket {
    /// Starts it, empty.
    ///
    /// # Errors
    /// When there is no port, or no folder.
    pub async fn start() -> Result<Self> {
        let folder = TempDir::new()?;
        std::fs::create_dir(folder.path().join(NAME))?;
        let files = FileSystem::new(folder.path())
            .map_err(|error| anyhow::anyhow!("no bucket: {error:?}"))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(ID, SECRET));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = Router::new().fallback(answer).with_state(builder.build());
        let tasks = Tasks::default();
        let limits = chassis::http::Limits::default();
        let serving = chassis::http::serve(listener, router, limits, tasks.clone());
        tasks.spawn_detached(Span::none(), serving);
        Ok(Self { address, folder })
    }

    /// The settings of `storage.s3` that lead to it: names and values.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("bucket", NAME.to_owned()),
            ("endpoint", format!("http://{}", self.address)),
            ("prefix", PREFIX.to_owned()),
            ("access_key_id", ID.to_owned()),
            ("secret_access_key", SECRET.to_owned()),
        ]
    }

    /// The section `storage.s3`.
    pub fn toml(&self) -> String {
        let lines = self.settings().into_iter();
        let lines = lines.map(|(name, value)| format!("{name} = '{value}'\n"));
        format!("[storage.s3]\n{}", lines.collect::<String>())
    }

    /// The same for a process, as variables; without the directory that it would keep files in.
    pub fn env(&self) -> Vec<(String, String)> {
        let settings = self.settings().into_iter();
        let named = settings.map(|(name, value)| {
            let name = format!("AIO_STORAGE__S3__{}", name.to_uppercase());
            (name, value)
        });
        let none = ("AIO_STORAGE__DIRECTORY".to_owned(), String::new());
        std::iter::once(none).chain(named).collect()
    }

    /// The keys of the objects in it, without the prefix, sorted.
    ///
    /// # Errors
    /// When its folder cannot be read.
    pub fn objects(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let root = self.folder.path().join(NAME).join(PREFIX);
        if root.is_dir() {
            collect(&root, "", &mut found)?;
        }
        found.sort();
        Ok(found)
    }

    /// What it keeps of objects that are not finished: their ids and their parts.
    ///
    /// # Errors
    /// When its folder cannot be read.
    pub fn unfinished(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.folder.path())? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with(".upload") {
                names.push(name);
            }
        }
        Ok(names)
    }
}

fn collect(folder: &Path, above: &str, found: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{above}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{name}/"), found)?;
        } else {
            found.push(name);
        }
    }
    Ok(())
}

async fn answer(State(service): State<S3Service>, request: Request) -> Response {
    let request = request.map(s3s::Body::http_body_unsync);
    match service.call(request).await {
        Ok(answer) => answer.map(Body::new),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
