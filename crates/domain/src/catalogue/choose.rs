//! The model a request means, or why this key is not served one there: one wording for every service.

use super::{Catalogue, Model};

/// So many characters of an unknown name are said back: no name of ours is longer.
const MAX_QUOTED: usize = 64;

/// Why a request gets no model, in words for the customer, who named it in the field `model`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unserved {
    /// No model has this name.
    #[error("there is no model {name:?}; /api/v1/{route} serves {}", served.join(", "))]
    Unknown {
        /// What the customer sent, cut.
        name: String,
        /// The route asked, below `/api/v1/`.
        route: String,
        /// The slugs it serves.
        served: Vec<String>,
    },
    /// Another route serves it.
    #[error("{model} is served by /api/v1/{home}; /api/v1/{route} serves {}", served.join(", "))]
    Elsewhere {
        /// The model's slug.
        model: String,
        /// Its route, below `/api/v1/`.
        home: String,
        /// The route asked.
        route: String,
        /// The slugs that one serves.
        served: Vec<String>,
    },
    /// The key has a list of models, and this one is not on it.
    #[error("this key may not use {model}; it may use {}", allowed.join(", "))]
    NotAllowed {
        /// The model's slug.
        model: String,
        /// The key's list.
        allowed: Vec<String>,
    },
}

// === impl Catalogue ===

impl Catalogue {
    /// The model that a request to `route` (below `/api/v1/`) means by `name`. `allowed` is the key's list of models, empty for
    /// all; who may use a succeeded model may use its successor in its place.
    ///
    /// # Errors
    /// When there is no such model, another route serves it, or the key may not use it.
    pub fn choose(&self, route: &str, name: &str, allowed: &[String]) -> Result<&Model, Unserved> {
        let Some(model) = self.find(name) else {
            return Err(Unserved::Unknown {
                name: name.chars().take(MAX_QUOTED).collect(),
                route: route.to_owned(),
                served: self.served_by(route),
            });
        };
        if model.route != route {
            return Err(Unserved::Elsewhere {
                model: model.slug.clone(),
                home: model.route.clone(),
                route: route.to_owned(),
                served: self.served_by(route),
            });
        }
        let mut asked = self.models().iter();
        let asked = asked.find(|other| other.names().any(|own| own == name));
        if model.allowed_by(allowed) || asked.is_some_and(|asked| asked.allowed_by(allowed)) {
            return Ok(model);
        }
        Err(Unserved::NotAllowed {
            model: model.slug.clone(),
            allowed: allowed.to_owned(),
        })
    }

    fn served_by(&self, route: &str) -> Vec<String> {
        let here = self.models().iter().filter(|model| model.route == route);
        here.map(|model| model.slug.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = include_str!("../../catalogue/flux-2.toml");
    const IMAGES: &str = "images/generations";

    fn why(name: &str, allowed: &[&str]) -> String {
        let catalogue = Catalogue::built_in().unwrap();
        let allowed: Vec<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
        match catalogue.choose(IMAGES, name, &allowed) {
            Ok(model) => model.slug.clone(),
            Err(unserved) => unserved.to_string(),
        }
    }

    /// What the route of pictures serves, as the messages say it.
    fn served() -> String {
        let catalogue = Catalogue::built_in().unwrap();
        let here = catalogue.models().iter();
        let here: Vec<&str> = here
            .filter(|model| model.route == IMAGES)
            .map(|model| model.slug.as_str())
            .collect();
        assert!(here.contains(&"flux-2") && !here.contains(&"gemini"));
        format!("/api/v1/images/generations serves {}", here.join(", "))
    }

    #[test]
    fn a_name_leads_to_a_model_or_to_a_reason() {
        assert_eq!(why("flux-2", &[]), "flux-2");
        assert_eq!(why("flux-2", &["gemini", "flux-2"]), "flux-2");
        assert_eq!(
            why("gemini", &[]),
            format!("gemini is served by /api/v1/chat/completions; {}", served())
        );
        assert_eq!(
            why("flux-2", &["gemini"]),
            "this key may not use flux-2; it may use gemini"
        );
        assert_eq!(
            why("flux-\"3\"", &[]),
            format!("there is no model \"flux-\\\"3\\\"\"; {}", served())
        );
        let long = why(&"é".repeat(500), &[]);
        assert_eq!(long.matches('é').count(), MAX_QUOTED);
    }

    #[test]
    fn a_succeeded_model_is_served_as_its_successor() {
        let old = IMAGE.replacen("\"flux-2\"", "\"flux-1\"", 1).replacen(
            "\"live\"",
            "\"succeeded\"\nsuccessor = \"flux-2\"",
            1,
        );
        let catalogue = Catalogue::parse(&[("old.toml", &old), ("new.toml", IMAGE)]).unwrap();
        assert_eq!(catalogue.find("flux-1").unwrap().slug, "flux-2");
        let chosen = |allowed: &[&str]| {
            let allowed: Vec<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
            catalogue.choose(IMAGES, "flux-1", &allowed).is_ok()
        };
        assert!(chosen(&[]) && chosen(&["flux-1"]) && chosen(&["flux-2"]));
        assert!(!chosen(&["gemini"]));
        let listing =
            serde_json::to_value(catalogue.models()[0].listing(crate::Moment::default())).unwrap();
        assert_eq!(listing["successor"], "flux-2");
    }
}
