//! Every provider that the program knows by name, for tests in which live keys are served by all of them.

use domain::PROVIDERS;

/// Variables that give each of them a credential, and put it at this address.
pub fn every_provider(base_url: &str) -> Vec<(String, String)> {
    let both = PROVIDERS.iter().flat_map(|known| {
        let address = format!("AIO_PROVIDERS__{}__BASE_URL", known.name.to_uppercase());
        [
            (known.variable.to_owned(), "a-test-s-own".to_owned()),
            (address, base_url.to_owned()),
        ]
    });
    both.collect()
}
