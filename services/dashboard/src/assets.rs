//! Style, script and mark. Each has a hash of its bytes in its name, so that a browser keeps it for ever, and is packed once.

use std::io::{self, Write as _};

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, StatusCode, header};
use sha2::{Digest as _, Sha256};

const STYLE: &str = include_str!("../static/style.css");
const SCRIPT: &str = concat!(
    include_str!("../static/app.js"),
    include_str!("../static/passkey.js"),
);
/// Of the pages behind the door: what they share, and what each part has.
const APP_STYLE: &str = concat!(
    include_str!("../static/app/app.css"),
    include_str!("../static/app/home.css"),
    include_str!("../static/app/playground.css"),
    include_str!("../static/app/keys.css"),
    include_str!("../static/app/credits.css"),
    include_str!("../static/app/usage.css"),
    include_str!("../static/app/requests.css"),
    include_str!("../static/app/tasks.css"),
    include_str!("../static/app/webhooks.css"),
    include_str!("../static/app/settings.css"),
    include_str!("../static/app/operator.css"),
);
const APP_SCRIPT: &str = concat!(
    include_str!("../static/app/app.js"),
    include_str!("../static/app/home.js"),
    include_str!("../static/app/playground/api.js"),
    include_str!("../static/app/playground.js"),
    include_str!("../static/app/keys.js"),
    include_str!("../static/app/credits.js"),
    include_str!("../static/app/usage.js"),
    include_str!("../static/app/requests.js"),
    include_str!("../static/app/tasks.js"),
    include_str!("../static/app/webhooks.js"),
    include_str!("../static/app/settings.js"),
    include_str!("../static/app/operator.js"),
);
const MARK: &str = include_str!("../static/mark.svg");

/// Hex digits of a hash in a name.
const DIGITS: usize = 12;
/// Bytes of such digits.
const HASHED: usize = DIGITS / 2;

/// Everything that pages refer to.
#[derive(Debug)]
pub(crate) struct Assets {
    style: Asset,
    script: Asset,
    app_style: Asset,
    app_script: Asset,
    mark: Asset,
}

/// One file.
#[derive(Debug)]
struct Asset {
    path: String,
    content_type: &'static str,
    plain: &'static str,
    packed: Bytes,
}

/// Whether who asks takes what is packed by gzip.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING);
    let accepted = accepted.and_then(|value| value.to_str().ok());
    accepted.unwrap_or_default().split(',').any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim() == "gzip" && !matches!(quality.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
    })
}

/// Packs a text.
///
/// # Errors
/// Never in practice: it is written into memory.
pub(crate) fn gzip(text: &[u8], level: Compression) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(text)?;
    encoder.finish().map(Bytes::from)
}

// === impl Assets ===

impl Assets {
    /// Names and packs them.
    ///
    /// # Errors
    /// As [`gzip`].
    pub(crate) fn new() -> io::Result<Self> {
        let (css, js) = ("text/css; charset=utf-8", "text/javascript; charset=utf-8");
        Ok(Self {
            style: Asset::of("style", "css", css, STYLE)?,
            script: Asset::of("script", "js", js, SCRIPT)?,
            app_style: Asset::of("app", "css", css, APP_STYLE)?,
            app_script: Asset::of("app", "js", js, APP_SCRIPT)?,
            mark: Asset::of("mark", "svg", "image/svg+xml", MARK)?,
        })
    }

    /// Where the style of all pages is.
    pub(crate) fn style(&self) -> &str {
        &self.style.path
    }

    /// Where the script of all pages is.
    pub(crate) fn script(&self) -> &str {
        &self.script.path
    }

    /// Where the style of the pages behind the door is.
    pub(crate) fn app_style(&self) -> &str {
        &self.app_style.path
    }

    /// Where their script is.
    pub(crate) fn app_script(&self) -> &str {
        &self.app_script.path
    }

    /// Where the mark is.
    pub(crate) fn mark(&self) -> &str {
        &self.mark.path
    }

    /// The file that has this path.
    pub(crate) fn get(&self, path: &str, headers: &HeaderMap) -> Option<Response> {
        let all = [
            &self.style,
            &self.script,
            &self.app_style,
            &self.app_script,
            &self.mark,
        ];
        let asset = all.into_iter().find(|asset| asset.path == path)?;
        let fixed = [
            (header::CONTENT_TYPE, asset.content_type),
            (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            (header::VARY, "accept-encoding"),
        ];
        Some(if takes_gzip(headers) {
            let packed = [(header::CONTENT_ENCODING, "gzip")];
            (StatusCode::OK, fixed, packed, asset.packed.clone()).into_response()
        } else {
            (StatusCode::OK, fixed, asset.plain).into_response()
        })
    }
}

// === impl Asset ===

impl Asset {
    fn of(
        name: &str,
        ending: &str,
        content_type: &'static str,
        plain: &'static str,
    ) -> io::Result<Self> {
        let digest = Sha256::digest(plain);
        let hash: String = digest
            .iter()
            .take(HASHED)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(Self {
            path: format!("/assets/{name}-{hash}.{ending}"),
            content_type,
            plain,
            packed: gzip(plain.as_bytes(), Compression::best())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_refuses_gzip_gets_none() {
        for (sent, takes) in [
            ("gzip", true),
            ("br, gzip;q=0.5", true),
            ("deflate", false),
            ("gzip;q=0", false),
            ("", false),
        ] {
            let value = http::HeaderValue::from_static(sent);
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, value)]);
            assert_eq!(takes_gzip(&headers), takes, "{sent}");
        }
    }
}
