//! The pages as a table of routes, and links between them: which route a path belongs to, and where a page leads.

/// A table of URLs: `{id}` stands for a part that varies, `{*rest}` for the rest of a path.
#[derive(Clone, Debug)]
pub struct Routes(Vec<&'static str>);

// === impl Routes ===

impl Routes {
    /// Of these.
    pub fn new(routes: impl IntoIterator<Item = &'static str>) -> Self {
        Self(routes.into_iter().collect())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().copied()
    }

    /// The route that answers a path, whatever is asked of it.
    pub fn of(&self, path: &str) -> Option<&'static str> {
        let plain = path.split(['?', '#']).next().unwrap_or_default();
        // As the router does: words go before what varies.
        let words = |route: &&str| route.split('/').filter(|part| !part.contains('{')).count();
        let matching = self.iter().filter(|route| matches(route, plain));
        matching.max_by_key(words)
    }

    /// A path of a route, with `id` wherever something varies.
    pub fn filled(route: &str, id: &str) -> String {
        let parts = route.split('/');
        let parts: Vec<&str> = parts
            .map(|part| if part.starts_with('{') { id } else { part })
            .collect();
        parts.join("/")
    }
}

fn matches(route: &str, path: &str) -> bool {
    let mut parts = path.split('/');
    for part in route.split('/') {
        if part.starts_with("{*") {
            return parts.next().is_some_and(|rest| !rest.is_empty());
        }
        let Some(given) = parts.next() else {
            return false;
        };
        if given != part && (!part.starts_with('{') || given.is_empty()) {
            return false;
        }
    }
    parts.next().is_none()
}

/// Where a page leads within its site: paths with their queries, in their order.
pub fn links(html: &str) -> Vec<String> {
    let links = html.split(" href=\"").skip(1);
    links
        .filter_map(|rest| rest.split('"').next())
        .filter(|link| link.starts_with('/') && !link.starts_with("//"))
        .map(|link| link.replace("&#38;", "&").replace("&amp;", "&"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_belongs_to_the_route_that_says_most_of_it() {
        let routes = Routes::new(["/models/{*slug}", "/models/compare", "/keys/{id}/rotate"]);
        for (path, route) in [
            ("/models/a/b", Some("/models/{*slug}")),
            ("/models/compare?a=b", Some("/models/compare")),
            ("/keys/1/rotate", Some("/keys/{id}/rotate")),
            ("/keys//rotate", None),
            ("/keys/1", None),
        ] {
            assert_eq!(routes.of(path), route, "{path}");
        }
        assert_eq!(Routes::filled("/keys/{id}/rotate", "7"), "/keys/7/rotate");
    }

    #[test]
    fn links_lead_within_the_site() {
        let html = "<a href=\"/a?b=1&amp;c=2\">x</a><a href=\"//else.example\">y</a><a href=\"https://else.example\">z</a>";
        assert_eq!(links(html), ["/a?b=1&c=2"]);
    }
}
