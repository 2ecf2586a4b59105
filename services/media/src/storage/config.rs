//! The section `storage`: where outputs and uploaded files are kept.

use std::{path::PathBuf, time::Duration};

use chassis::config::{Error, Settings, duration, secret_value};
use domain::Secret;
use serde::Deserialize;
use url::Url;

/// The least that S3 takes as a part of a larger object, but for the last.
const LEAST_PART: u64 = 5 * 1024 * 1024;
/// The most: so much of each file that comes stays in memory.
const MOST_PART: u64 = 512 * 1024 * 1024;

/// The section `storage`: a directory, or a bucket.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// One directory for all processes. Default: `outputs` in the data directory.
    #[serde(default)]
    pub directory: Option<PathBuf>,
    /// A bucket, instead.
    #[serde(default)]
    pub s3: Option<S3>,
}

/// The section `storage.s3`: a bucket of Amazon's, or of any server that speaks its protocol.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3 {
    /// Its name.
    pub bucket: String,
    /// Where it is. Default `us-east-1`, which most other servers take.
    #[serde(default = "usual_region")]
    pub region: String,
    /// The server, such as `https://minio.internal:9000`; without one, Amazon's of the region.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// What every key begins with: `aio/production`. Default: nothing.
    #[serde(default)]
    pub prefix: String,
    /// Whether the bucket stands in the path of a URL and not in its host. Default: where there is an `endpoint`.
    #[serde(default)]
    pub path_style: Option<bool>,
    /// Whose the requests are; else `AWS_ACCESS_KEY_ID`.
    #[serde(default)]
    pub access_key_id: Option<Secret>,
    /// What they are signed with; else `AWS_SECRET_ACCESS_KEY`.
    #[serde(default)]
    pub secret_access_key: Option<Secret>,
    /// Of temporary credentials; else `AWS_SESSION_TOKEN`, where the others are of the environment as well.
    #[serde(default)]
    pub session_token: Option<Secret>,
    /// A file with more bytes is sent in parts of so many, each of which waits in memory until it is full. Default 5 MiB.
    #[serde(default = "usual_part")]
    pub part_bytes: u64,
    /// How long a connection may take. Default 5 s.
    #[serde(default = "usual_connect_timeout", with = "duration::positive")]
    pub connect_timeout: Duration,
    /// How long the server may be silent. Default 30 s.
    #[serde(default = "usual_timeout", with = "duration::positive")]
    pub timeout: Duration,
    /// How often what failed and may be repeated is asked for again, later each time. Default 4.
    #[serde(default = "usual_retries")]
    pub retries: usize,
}

/// What requests are signed with.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    pub(super) id: Secret,
    pub(super) secret: Secret,
    pub(super) token: Option<Secret>,
}

// === impl StorageConfig ===

impl StorageConfig {
    /// Reads the section.
    ///
    /// # Errors
    /// What is wrong, naming the setting.
    pub fn read(settings: &Settings) -> Result<Self, Error> {
        let config: Self = settings.section("storage")?;
        let Some(s3) = &config.s3 else {
            return Ok(config);
        };
        if config.directory.is_some() {
            return wrong(
                "storage.directory and storage.s3 are both set: files are kept in one of them",
            );
        }
        s3.check()?;
        Ok(config)
    }
}

// === impl S3 ===

impl S3 {
    fn check(&self) -> Result<(), Error> {
        if self.bucket.is_empty() {
            return wrong("storage.s3.bucket must name a bucket");
        }
        if self.region.is_empty() {
            return wrong("storage.s3.region must not be empty: without it, it is us-east-1");
        }
        if !(LEAST_PART..=MOST_PART).contains(&self.part_bytes) {
            return wrong(&format!(
                "storage.s3.part_bytes must be from {LEAST_PART} to {MOST_PART}"
            ));
        }
        let plain = |part: &str| {
            let sign = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !part.is_empty() && part.chars().all(sign) && part != "." && part != ".."
        };
        if !self.prefix.is_empty() && !self.prefix.split('/').all(plain) {
            return wrong(
                "storage.s3.prefix must be words of letters, digits and - _ . with a slash between them, and none around them",
            );
        }
        if let Some(endpoint) = &self.endpoint
            && !Url::parse(endpoint).is_ok_and(|url| is_origin(&url))
        {
            return wrong(
                "storage.s3.endpoint must be http:// or https:// and a host, such as https://minio.internal:9000",
            );
        }
        Ok(())
    }

    /// Both of one place: those of the environment are for another account, perhaps. Only who opens the bucket needs them.
    pub(super) fn credentials(&self) -> Result<Credentials, Error> {
        let missing = "storage.s3.access_key_id and storage.s3.secret_access_key must be set, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
        match (&self.access_key_id, &self.secret_access_key) {
            (Some(id), Some(secret)) => Ok(Credentials {
                id: id.clone(),
                secret: secret.clone(),
                token: self.session_token.clone(),
            }),
            (None, None) => {
                let id = secret_value("AWS_ACCESS_KEY_ID")?;
                let secret = secret_value("AWS_SECRET_ACCESS_KEY")?;
                let (Some(id), Some(secret)) = (id, secret) else {
                    return wrong(missing);
                };
                let token = match &self.session_token {
                    Some(token) => Some(token.clone()),
                    None => secret_value("AWS_SESSION_TOKEN")?,
                };
                Ok(Credentials { id, secret, token })
            }
            (Some(_), None) | (None, Some(_)) => wrong(missing),
        }
    }

    /// Whether the bucket stands in the path.
    pub(super) fn is_path_style(&self) -> bool {
        self.path_style.unwrap_or_else(|| self.endpoint.is_some())
    }

    /// Where the bucket is, for people.
    pub(super) fn place(&self) -> &str {
        self.endpoint.as_deref().unwrap_or(&self.region)
    }
}

fn is_origin(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
}

fn wrong<T>(what: &str) -> Result<T, Error> {
    Err(Error::Setting(what.to_owned()))
}

fn usual_region() -> String {
    "us-east-1".to_owned()
}

const fn usual_part() -> u64 {
    LEAST_PART
}

const fn usual_connect_timeout() -> Duration {
    Duration::from_secs(5)
}

const fn usual_timeout() -> Duration {
    Duration::from_secs(30)
}

const fn usual_retries() -> usize {
    4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_name() {
        let keys = "access_key_id = 'a'\nsecret_access_key = 'b'";
        let read = |lines: &str| {
            StorageConfig::read(&Settings::from_toml(&format!("[storage.s3]\n{lines}")))
        };
        let good = read(&format!("bucket = 'b'\nprefix = 'aio/one'\n{keys}")).unwrap();
        let s3 = good.s3.unwrap();
        assert!(!s3.is_path_style());
        assert_eq!(s3.place(), "us-east-1");
        let own = read(&format!("bucket = 'b'\nendpoint = 'http://h:1'\n{keys}"));
        assert!(own.unwrap().s3.unwrap().is_path_style());
        for (lines, named) in [
            (keys.to_owned(), "bucket"),
            (format!("bucket = ''\n{keys}"), "storage.s3.bucket must"),
            (
                format!("bucket = 'b'\nregion = ''\n{keys}"),
                "storage.s3.region must",
            ),
            (
                format!("bucket = 'b'\npart_bytes = 5242879\n{keys}"),
                "storage.s3.part_bytes must be from 5242880",
            ),
            (
                format!("bucket = 'b'\nprefix = '/a'\n{keys}"),
                "storage.s3.prefix must",
            ),
            (
                format!("bucket = 'b'\nprefix = 'a/../b'\n{keys}"),
                "storage.s3.prefix must",
            ),
            (
                format!("bucket = 'b'\nendpoint = 'minio:9000/x'\n{keys}"),
                "storage.s3.endpoint must",
            ),
            (
                format!("bucket = 'b'\nbucked = 'c'\n{keys}"),
                "storage.s3.bucked",
            ),
        ] {
            let message = read(&lines).unwrap_err().to_string();
            assert!(message.contains(named), "{message}");
        }
        let half = read("bucket = 'b'\naccess_key_id = 'a'")
            .unwrap()
            .s3
            .unwrap();
        let message = half.credentials().unwrap_err().to_string();
        assert!(
            message.starts_with("storage.s3.access_key_id and storage.s3.secret_access_key must"),
            "{message}"
        );
        let both = format!("[storage]\ndirectory = 'd'\n[storage.s3]\nbucket = 'b'\n{keys}");
        let message = StorageConfig::read(&Settings::from_toml(&both)).unwrap_err();
        assert!(message.to_string().contains("both set"), "{message}");
    }
}
