//! A bucket of Amazon's S3, or of a server that speaks its protocol.

use std::{sync::Arc, time::Duration};

use chassis::telemetry::causes;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt as _, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    client::{HttpClient, HttpConnector},
    multipart::MultipartStore as _,
    path::Path as Key,
};

use super::config::S3;
use crate::Error;

/// What is written and deleted at the start, to see whether the bucket lets us.
const TRIAL: &str = "trial";
/// The longest wait between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The bucket.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    store: Arc<AmazonS3>,
    prefix: String,
    part: usize,
}

/// A place in it that is written to.
#[derive(Debug)]
pub(super) struct Writes {
    pub(super) store: Arc<AmazonS3>,
    pub(super) key: Key,
    /// Bytes of a part.
    pub(super) part: usize,
}

/// Hands out the one client that there is.
#[derive(Debug)]
struct Given(HttpClient);

impl HttpConnector for Given {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.0.clone())
    }
}

// === impl Bucket ===

impl Bucket {
    /// Opens it, and tries whether it can be written to and read.
    pub(super) async fn open(config: &S3) -> Result<Self, Error> {
        let bucket = Self::of(config)?;
        let (store, trial) = (&bucket.store, bucket.key(TRIAL));
        let tried = async {
            store.put(&trial, Vec::new().into()).await?;
            store.get(&trial).await?.bytes().await?;
            store.delete(&trial).await
        };
        tried.await.map_err(|error| unusable(config, &error))?;
        Ok(bucket)
    }

    fn of(config: &S3) -> Result<Self, Error> {
        let client = upstream::bucket_client(config.connect_timeout, config.timeout)?;
        let credentials = config.credentials()?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_virtual_hosted_style_request(!config.is_path_style())
            .with_access_key_id(credentials.id.expose())
            .with_secret_access_key(credentials.secret.expose())
            // Not every server has the request that deletes many.
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig {
                backoff: BackoffConfig {
                    max_backoff: LONGEST_PAUSE,
                    ..BackoffConfig::default()
                },
                max_retries: config.retries,
                ..RetryConfig::default()
            })
            .with_http_connector(Given(HttpClient::new(client)));
        if let Some(token) = &credentials.token {
            builder = builder.with_token(token.expose());
        }
        if let Some(endpoint) = &config.endpoint {
            let endpoint = with_bucket(config, endpoint);
            builder = builder
                .with_allow_http(endpoint.starts_with("http://"))
                .with_endpoint(endpoint);
        }
        Ok(Self {
            store: Arc::new(builder.build()?),
            prefix: config.prefix.clone(),
            part: usize::try_from(config.part_bytes).unwrap_or(usize::MAX),
        })
    }

    pub(super) fn key(&self, key: &str) -> Key {
        if self.prefix.is_empty() {
            Key::from(key)
        } else {
            Key::from(format!("{}/{key}", self.prefix))
        }
    }

    pub(super) fn objects(&self) -> &dyn ObjectStore {
        &*self.store
    }

    pub(super) fn store(&self) -> Arc<AmazonS3> {
        Arc::clone(&self.store)
    }

    pub(super) fn writes(&self, key: &str) -> Writes {
        Writes {
            store: self.store(),
            key: self.key(key),
            part: self.part,
        }
    }

    /// Deletes the parts of an object that was not finished; those that are gone already are fine.
    pub(super) async fn abandon(&self, key: &str, parts: &str) -> Result<(), Error> {
        let key = self.key(key);
        match self.store.abort_multipart(&key, &parts.to_owned()).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Where a server wants the bucket in the host, its own address begins with it.
fn with_bucket(config: &S3, endpoint: &str) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    match endpoint.split_once("://") {
        Some((scheme, host)) if !config.is_path_style() => {
            format!("{scheme}://{}.{host}", config.bucket)
        }
        Some(_) | None => endpoint.to_owned(),
    }
}

/// Why it cannot be used, and which setting to look at.
fn unusable(config: &S3, error: &object_store::Error) -> Error {
    let (bucket, place) = (&config.bucket, config.place());
    let is_missing = matches!(error, object_store::Error::NotFound { .. });
    let is_refused = matches!(
        error,
        object_store::Error::Unauthenticated { .. } | object_store::Error::PermissionDenied { .. }
    );
    let why = if is_missing {
        format!("storage.s3.bucket: there is no bucket {bucket} at {place}")
    } else if is_refused {
        format!(
            "storage.s3.access_key_id, storage.s3.secret_access_key: they may not write, read and delete in the bucket {bucket} at {place}"
        )
    } else {
        format!(
            "storage.s3.endpoint: the bucket {bucket} cannot be used at {place}: {}",
            causes(error)
        )
    };
    Error::Setting(chassis::config::Error::Setting(why))
}
