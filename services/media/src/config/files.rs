//! The section `limits.files`.

use std::time::Duration;

use chassis::config::{Error, duration};
use serde::Deserialize;
use tokio::sync::Semaphore;

/// The section `limits.files`: what customers upload.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileLimits {
    /// How long a file is kept that does not say so itself, and at most. Default 30 days.
    #[serde(with = "duration::positive")]
    pub retention: Duration,
    /// Bytes of one file. Default 64 MiB.
    pub max_bytes: u64,
    /// Files that an account may keep in a mode. Default 10 000.
    pub max_files: u64,
    /// Bytes of all of them. Default 10 GiB.
    pub max_total_bytes: u64,
    /// What files may be, by their bytes: types, and groups of them. Default images, sounds, videos, PDF and text.
    pub content_types: Vec<String>,
    /// Files on their way to us.
    pub coming: Coming,
    /// How a provider is given a file that a task names. Default: by a link.
    pub passed_as: PassedAs,
    /// Bytes of the files of a task that are given inline, if files are, each as often as it is named; what is more is given by a link. What
    /// is given to a provider that fetches nothing is no more either. Default 10 MiB.
    pub inline_bytes: u64,
    /// Bytes of the uploaded files of a task that are given to a provider that fetches nothing, as recordings are, where it names nothing but
    /// files: as much as `inline_bytes` at least, and not more than `inline_total_bytes`. Default 25 MiB.
    pub given_bytes: u64,
    /// Bytes of files that are inline at once, in all that this process submits; what finds no room comes again later. Half of it at most is
    /// for what is being fetched for a provider that fetches nothing. Each byte is several in its memory. Default 64 MiB.
    pub inline_total_bytes: u64,
    /// Bytes of recordings that are inside of requests at once, beside all that is counted in `inline_total_bytes`: each is there as long as it
    /// is being heard. At least `given_bytes`. Default 100 MiB.
    pub recordings_total_bytes: u64,
    /// Looking how long it lasts what a live task is given by a URL and pays for by the second.
    pub looks: Looks,
}

/// `limits.files.coming`: files on their way to us.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Coming {
    /// How long one may take to come. Default 10 min.
    #[serde(with = "duration::positive")]
    pub timeout: Duration,
    /// Those that may come at once to this process, each with half a MiB or so in its memory. Default 64.
    pub at_once: usize,
    /// Those among them that may be of one account, in each mode. Default 8.
    pub at_once_per_account: usize,
}

/// `limits.files.looks`: looking at what a URL leads to, a piece here and there, or fetching all of it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Looks {
    /// How long that may take, for all URLs of a task. Default 10 s.
    #[serde(with = "duration::positive")]
    pub timeout: Duration,
    /// Bytes of a piece. Default 256 KiB.
    pub piece_bytes: usize,
    /// Pieces of one file; what they do not tell is left open. Default 8.
    pub pieces: usize,
    /// Tasks whose URLs this process looks at at once; of those that come meanwhile, the length is left open. And as many whose URLs it
    /// fetches whole; those that come meanwhile come again. Default 8.
    pub at_once: usize,
    /// Those among them that may be of one account. Default 2.
    pub at_once_per_account: usize,
    /// How long all that a live task's URLs lead to may take to come, for a provider that fetches nothing itself. Default 30 s.
    #[serde(with = "duration::positive")]
    pub fetch_timeout: Duration,
}

/// How a provider is given a file.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum PassedAs {
    /// By a signed link of ours, which it fetches: `server.public_url` must be reachable for it.
    Link,
    /// By its bytes, as a data URL.
    Inline,
}

// === impl FileLimits ===

impl FileLimits {
    /// The most bytes that one request may have inside.
    pub(crate) fn most_given(&self) -> u64 {
        let most = self.given_bytes.max(self.inline_bytes);
        most.min(self.inline_total_bytes)
    }

    /// Refuses what would let no file in.
    pub(super) fn check(&self) -> Result<(), Error> {
        let most = Semaphore::MAX_PERMITS;
        let wrong = if !(1..=most).contains(&self.coming.at_once) {
            format!("coming.at_once must be from 1 to {most}")
        } else if self.coming.at_once_per_account == 0 {
            "coming.at_once_per_account must be at least 1".to_owned()
        } else if self.max_total_bytes < self.max_bytes {
            let (total, one) = (self.max_total_bytes, self.max_bytes);
            format!("max_total_bytes ({total}) must be at least limits.files.max_bytes ({one})")
        } else if self.content_types.is_empty() {
            "content_types must name at least one type".to_owned()
        } else if self.inline_total_bytes < self.inline_bytes {
            let (total, one) = (self.inline_total_bytes, self.inline_bytes);
            format!(
                "inline_total_bytes ({total}) must be at least limits.files.inline_bytes ({one})"
            )
        } else if self.recordings_total_bytes < self.most_given() {
            let (total, one) = (self.recordings_total_bytes, self.most_given());
            format!(
                "recordings_total_bytes ({total}) must be at least what one request may have inside ({one})"
            )
        } else if self.looks.piece_bytes == 0 {
            "looks.piece_bytes must be at least 1".to_owned()
        } else if !(1..=most).contains(&self.looks.at_once) {
            format!("looks.at_once must be from 1 to {most}")
        } else if self.looks.at_once_per_account == 0 {
            "looks.at_once_per_account must be at least 1".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::Setting(format!("limits.files.{wrong}")))
    }
}

// === impl Default ===

impl Default for FileLimits {
    fn default() -> Self {
        let types = [
            "image/*",
            "audio/*",
            "video/*",
            "application/pdf",
            "text/plain",
        ];
        Self {
            retention: Duration::from_secs(30 * 24 * 3600),
            max_bytes: 64 * 1024 * 1024,
            max_files: 10_000,
            max_total_bytes: 10 * 1024 * 1024 * 1024,
            content_types: types.map(str::to_owned).to_vec(),
            coming: Coming::default(),
            passed_as: PassedAs::Link,
            inline_bytes: 10 * 1024 * 1024,
            given_bytes: 25 * 1024 * 1024,
            inline_total_bytes: 64 * 1024 * 1024,
            recordings_total_bytes: 100 * 1024 * 1024,
            looks: Looks::default(),
        }
    }
}

impl Default for Coming {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10 * 60),
            at_once: 64,
            at_once_per_account: 8,
        }
    }
}

impl Default for Looks {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            piece_bytes: 256 * 1024,
            pieces: 8,
            at_once: 8,
            at_once_per_account: 2,
            fetch_timeout: Duration::from_secs(30),
        }
    }
}
