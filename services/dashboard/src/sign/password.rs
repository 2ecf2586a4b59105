//! Passwords: argon2id with OWASP's figures, computed away from where pages are made.

use std::sync::Arc;

use argon2::{
    Argon2, PasswordHasher as _, PasswordVerifier as _, password_hash::phc::PasswordHash,
};
use http::StatusCode;
use rand::Rng as _;
use tokio::{sync::Semaphore, task, time};

use crate::{Site, error::Error, refused::Refused};

/// What it takes to look at passwords.
pub(crate) struct Passwords {
    /// For those that are being hashed: each takes 19 MiB and some 20 ms.
    places: Semaphore,
    /// The hash of a password that nobody has.
    nobody: String,
}

// === impl Passwords ===

impl Passwords {
    /// Room for so many at once.
    ///
    /// # Errors
    /// Never in practice: there is nothing wrong with what is hashed.
    pub(crate) fn new(at_once: usize) -> Result<Self, Error> {
        let mut secret = [0; 32];
        rand::rng().fill_bytes(&mut secret);
        let nobody = Argon2::default()
            .hash_password(&secret)
            .map_err(|_| Error::Hash)?;
        Ok(Self {
            places: Semaphore::new(at_once),
            nobody: nobody.to_string(),
        })
    }
}

/// The hash of a new password.
///
/// # Errors
/// When it is too short or too long.
pub(crate) async fn hash(site: &Arc<Site>, password: &str) -> Result<String, Refused> {
    let (least, most) = (site.config.password_characters, 1024);
    let count = password.chars().count();
    if !(least..=most).contains(&count) {
        let told = format!("A password has {least} to {most} characters.");
        return Err(Refused::new(StatusCode::BAD_REQUEST, told).of("password"));
    }
    let password = password.to_owned();
    let hashed = away(site, move || {
        let hash = Argon2::default().hash_password(password.as_bytes());
        hash.map(|hash| hash.to_string()).map_err(|_| Error::Hash)
    });
    Ok(hashed.await??)
}

/// Whether a password is the one that was hashed. It takes as long where there is none.
///
/// # Errors
/// When it cannot be computed.
pub(crate) async fn verify(
    site: &Arc<Site>,
    password: &str,
    hash: Option<String>,
) -> Result<bool, Refused> {
    let (password, known) = (password.to_owned(), hash.is_some());
    let hash = hash.unwrap_or_else(|| site.door.passwords.nobody.clone());
    let verified = away(site, move || {
        let hash = PasswordHash::new(&hash).map_err(|_| Error::Damaged("a password's hash"))?;
        Ok::<_, Error>(
            Argon2::default()
                .verify_password(password.as_bytes(), &hash)
                .is_ok(),
        )
    });
    Ok(verified.await?? && known)
}

/// Computes in a thread for such work, a few at a time.
async fn away<T: Send + 'static>(
    site: &Arc<Site>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refused> {
    let busy = || {
        Refused::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Many sign in at this moment. Please try again.",
        )
    };
    let place = time::timeout(
        site.config.sign_in_patience,
        site.door.passwords.places.acquire(),
    );
    let _place = place.await.map_err(|_| busy())?.map_err(|_| busy())?;
    task::spawn_blocking(work)
        .await
        .map_err(|_| Refused::internal())
}
