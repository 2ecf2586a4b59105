//! A browser without a screen: it keeps cookies, sends forms as pages of ours do, and finds texts and fields in HTML.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, Method, header};

use crate::Aio;

/// Tags around words: what is at either side of one stands together.
const INLINE: [&str; 10] = [
    "a", "abbr", "b", "code", "em", "i", "small", "span", "strong", "time",
];

/// Somebody's browser.
#[derive(Clone, Debug)]
pub struct Browser {
    http: reqwest::Client,
    /// Where the pages are, without a slash at the end.
    base: String,
    cookies: BTreeMap<String, String>,
}

/// What a browser shows.
#[derive(Clone, Debug)]
pub struct WebPage {
    /// The HTTP status.
    pub status: u16,
    /// Where it is: path and query, behind a redirect that was followed.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came: of a page, its HTML.
    pub text: String,
}

// === impl Aio ===

impl Aio {
    /// A browser without cookies, before the web pages.
    ///
    /// # Errors
    /// When the process that serves them does not get ready.
    pub async fn browser(&mut self) -> Result<Browser> {
        let base = self.pages().await?;
        Ok(Browser {
            http: crate::api::client()?,
            base,
            cookies: BTreeMap::new(),
        })
    }
}

// === impl Browser ===

impl Browser {
    /// Signs up, and shows where that leads to.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn sign_up(&mut self, name: &str, email: &str, password: &str) -> Result<WebPage> {
        let fields = [("name", name), ("email", email), ("password", password)];
        let page = self.post("/sign-up", &fields).await?;
        ensure!(page.status == 200, "cannot sign up: {page}");
        Ok(page)
    }

    /// Signs in, and shows where that leads to.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn sign_in(&mut self, email: &str, password: &str) -> Result<WebPage> {
        let fields = [("email", email), ("password", password)];
        let page = self.post("/sign-in", &fields).await?;
        ensure!(page.status == 200, "cannot sign in: {page}");
        Ok(page)
    }

    /// Opens a page: a path with its query, or a whole URL. A redirect is shown, and not followed.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn get(&mut self, path: &str) -> Result<WebPage> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// Sends a form, and follows one redirect within the pages: another site's is shown, and not followed.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Result<WebPage> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let page = self.send(Method::POST, path, form.finish().into()).await?;
        let next = page.header(header::LOCATION.as_str());
        if page.status == 303 && next.starts_with('/') {
            let next = next.to_owned();
            return self.get(&next).await;
        }
        Ok(page)
    }

    /// What the browser keeps, as it would send it; empty: nothing.
    pub fn cookie(&self) -> String {
        let pairs = self.cookies.iter();
        let pairs: Vec<String> = pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }

    /// Where the pages are, without a slash at the end.
    pub fn base(&self) -> &str {
        &self.base
    }

    async fn send(&mut self, method: Method, path: &str, form: Bytes) -> Result<WebPage> {
        let own = path.starts_with('/');
        let url = if own {
            format!("{}{path}", self.base)
        } else {
            path.to_owned()
        };
        let mut request = self.http.request(method.clone(), &url);
        if own {
            request = request.header("sec-fetch-site", "same-origin");
            request = request.header(header::COOKIE, self.cookie());
        }
        if method == Method::POST {
            let kind = "application/x-www-form-urlencoded";
            request = request.header(header::CONTENT_TYPE, kind).body(form);
        }
        let response = request.send().await;
        let response = response.with_context(|| format!("{url} does not answer"))?;
        if own {
            self.keep(response.headers())?;
        }
        Ok(WebPage {
            status: response.status().as_u16(),
            path: path.to_owned(),
            headers: response.headers().clone(),
            text: response.text().await?,
        })
    }

    /// Keeps what an answer says is to be kept, and forgets what it takes back.
    fn keep(&mut self, headers: &HeaderMap) -> Result<()> {
        for line in headers.get_all(header::SET_COOKIE) {
            let line = line.to_str()?;
            let (pair, rest) = line.split_once(';').unwrap_or((line, ""));
            let (name, value) = pair.split_once('=').context("a cookie without a name")?;
            if value.is_empty() || rest.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(())
    }
}

// === impl WebPage ===

impl WebPage {
    /// Whether a reader sees these words, in one piece.
    pub fn has(&self, words: &str) -> bool {
        shown(&self.text).contains(words)
    }

    /// What a reader sees, without tags, spaces in one.
    pub fn shown(&self) -> String {
        shown(&self.text)
    }

    /// The value of the first input or button of this name: of boxes and choices, that of the first, chosen or not.
    pub fn field(&self, name: &str) -> Option<String> {
        tags(&self.text)
            // What the head says of the page has names as well.
            .filter(|tag| !tag.starts_with("meta"))
            .find(|tag| attribute(tag, "name").as_deref() == Some(name))
            .and_then(|tag| attribute(tag, "value"))
    }

    /// Where the first link of these words leads to.
    pub fn link(&self, words: &str) -> Option<String> {
        let mut rest = self.text.as_str();
        while let Some((_, behind)) = rest.split_once("<a ") {
            let (tag, content) = behind.split_once('>')?;
            let (inside, _) = content.split_once("</a>")?;
            if shown(inside) == words {
                return attribute(tag, "href");
            }
            rest = content;
        }
        None
    }

    /// One header; empty when absent.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str());
        value.and_then(Result::ok).unwrap_or_default()
    }
}

impl std::fmt::Display for WebPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.status, self.path, shown(&self.text))
    }
}

/// The tags of HTML, without their brackets.
fn tags(html: &str) -> impl Iterator<Item = &str> {
    html.split('<')
        .skip(1)
        .filter_map(|piece| piece.split('>').next())
}

/// The value of an attribute of a tag.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, behind) = tag.split_once(&format!(" {name}=\"")).or_else(|| {
        // The first one, where the tag's name was cut off.
        tag.strip_prefix(&format!("{name}=\""))
            .map(|behind| ("", behind))
    })?;
    behind.split('"').next().map(decoded)
}

/// Text without tags, spaces in one.
fn shown(html: &str) -> String {
    let mut text = String::new();
    let mut pieces = html.split('<');
    text.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (tag, behind) = piece.split_once('>').unwrap_or((piece, ""));
        let name = tag.trim_start_matches('/').split([' ', '\n']).next();
        if !name.is_some_and(|name| INLINE.contains(&name)) {
            text.push(' ');
        }
        text.push_str(behind);
    }
    let words: Vec<String> = text.split_whitespace().map(decoded).collect();
    words.join(" ")
}

/// Text with its entities as characters: those by number, and the five of XML by name.
fn decoded(text: &str) -> String {
    let mut pieces = text.split('&');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let entity = piece
            .split_once(';')
            .and_then(|(name, rest)| Some((character(name)?, rest)));
        match entity {
            Some((character, rest)) => {
                plain.push(character);
                plain.push_str(rest);
            }
            None => {
                plain.push('&');
                plain.push_str(piece);
            }
        }
    }
    plain
}

fn character(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = entity.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> WebPage {
        WebPage {
            status: 200,
            path: "/".to_owned(),
            headers: HeaderMap::new(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_page_is_read_as_its_reader_does() {
        let page = page(
            "<h1>Ann&#39;s\n keys</h1><p><b>12</b> of <code>a&amp;b</code></p>\
             <td>1</td><td>2</td>\
             <input id=\"x\" name=\"cap\" value=\"1 &lt; 2\"><input type=\"hidden\" name=\"id\" value=\"\">\
             <a class=\"y\" href=\"/keys?a=1&amp;b=2\"><b>New</b>er</a><a href=\"/z\">Older</a>",
        );
        assert_eq!(page.shown(), "Ann's keys 12 of a&b 1 2 NewerOlder");
        assert!(page.has("12 of a&b") && !page.has("12 2"));
        assert_eq!(page.field("cap").as_deref(), Some("1 < 2"));
        assert_eq!(page.field("id").as_deref(), Some(""));
        assert_eq!(page.field("no"), None);
        assert_eq!(page.link("Newer").as_deref(), Some("/keys?a=1&b=2"));
        assert_eq!(page.link("Older").as_deref(), Some("/z"));
        assert_eq!(page.link("New"), None);
    }
}
