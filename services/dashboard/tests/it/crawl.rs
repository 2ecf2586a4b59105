//! Every page that a link leads to, from the first one on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use dashboard::Readers;
use http::StatusCode;

use crate::site::{ORIGIN, Site};

/// The values of an attribute.
fn attributes<'t>(html: &'t str, name: &str) -> Vec<&'t str> {
    let begin = format!(" {name}=\"");
    let values = html.split(begin.as_str()).skip(1);
    values.filter_map(|rest| rest.split('"').next()).collect()
}

fn unescaped(text: &str) -> String {
    text.replace("&amp;", "&").replace("&#38;", "&")
}

/// Every page, by its path.
async fn all(site: &Site) -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    let mut queue = VecDeque::from(["/".to_owned(), "/llms.txt".to_owned()]);
    while let Some(path) = queue.pop_front() {
        if pages.contains_key(&path) {
            continue;
        }
        let reply = site.get(&path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path} is linked to");
        let text = reply.text();
        if reply.header("content-type").starts_with("text/html") {
            for link in attributes(&text, "href") {
                let link = unescaped(link);
                let page = link.split('#').next().unwrap_or_default();
                if page.starts_with('/') {
                    queue.push_back(page.to_owned());
                }
            }
        }
        pages.insert(path, text);
    }
    pages
}

fn is_html(text: &str) -> bool {
    text.starts_with("<!doctype html>")
}

#[tokio::test]
async fn every_link_leads_to_a_page_and_every_anchor_to_a_place() {
    let site = Site::new().await;
    let pages = all(&site).await;
    let html = pages.iter().filter(|(_, text)| is_html(text));
    let html: BTreeMap<_, _> = html.collect();
    assert!(html.len() > 70, "{} pages", html.len());
    for (path, text) in &html {
        let ids: BTreeSet<&str> = attributes(text, "id").into_iter().collect();
        assert_eq!(
            ids.len(),
            attributes(text, "id").len(),
            "{path} has an id twice"
        );
        for link in attributes(text, "href") {
            let link = unescaped(link);
            let Some((page, id)) = link.split_once('#') else {
                continue;
            };
            let there = match page {
                "" => text.contains(&format!(" id=\"{id}\"")),
                page if page.starts_with('/') => pages[page].contains(&format!(" id=\"{id}\"")),
                _ => true,
            };
            assert!(there, "{path} links to {link}");
        }
    }
}

#[tokio::test]
async fn no_page_has_a_style_or_a_script_of_its_own_or_asks_another_origin() {
    let site = Site::new().await;
    for (path, text) in all(&site).await {
        if !is_html(&text) {
            continue;
        }
        for banned in [" style=", "<style", "javascript:", " onclick=", " onload="] {
            assert!(!text.contains(banned), "{path} has {banned}");
        }
        assert_eq!(text.matches("<script").count(), 1, "{path}");
        assert_eq!(text.matches("</script>").count(), 1, "{path}");
        for source in attributes(&text, "src") {
            assert!(source.starts_with("/assets/"), "{path} loads {source}");
        }
        assert_eq!(text.matches("<h1").count(), 1, "{path} has one title");
        assert_eq!(text.matches("<main").count(), 1, "{path}");
    }
}

#[tokio::test]
async fn every_page_is_there_as_markdown_and_the_list_for_programs_names_it() {
    let site = Site::new().await;
    let list = site.page("/llms.txt").await;
    for (path, text) in all(&site).await {
        let door = dashboard::paths().any(|row| row.readers == Readers::Door && row.path == path);
        if !is_html(&text) || path.contains('?') || door {
            continue;
        }
        let markdown = match path.as_str() {
            "/" => "/index.md".to_owned(),
            path => format!("{path}.md"),
        };
        let reply = site.get(&markdown).await;
        assert_eq!(reply.status, StatusCode::OK, "{markdown}");
        assert_eq!(reply.header("content-type"), "text/markdown; charset=utf-8");
        let body = reply.text();
        assert!(body.starts_with("# "), "{markdown}: {body}");
        assert!(!body.contains("{{") && !body.contains("&#"), "{markdown}");
        assert!(
            text.contains(&format!("href=\"{markdown}")),
            "{path} does not name {markdown}"
        );
        let named = format!("({ORIGIN}{markdown})");
        assert!(list.contains(&named), "llms.txt does not name {markdown}");
    }
}

#[tokio::test]
async fn the_first_page_is_small_on_the_wire() {
    let site = Site::new().await;
    let packed = |path: &str| {
        let request = http::Request::get(path).header("accept-encoding", "gzip, br");
        site.send(request)
    };
    let first = packed("/").await;
    assert_eq!(first.header("content-encoding"), "gzip");
    let page = site.page("/").await;
    let mut bytes = first.body.len();
    let mut files: BTreeSet<&str> = attributes(&page, "src").into_iter().collect();
    let links = attributes(&page, "href").into_iter();
    files.extend(links.filter(|link| link.starts_with("/assets/")));
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        let reply = packed(file).await;
        assert_eq!(reply.status, StatusCode::OK, "{file}");
        bytes += reply.body.len();
    }
    assert!(bytes < 100_000, "{bytes} bytes");
}
