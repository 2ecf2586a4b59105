//! Use cases: the secret that signs the callbacks of an account and mode, made when first needed; and putting another in its place.

use std::time::Duration;

use chassis::clock::micros;
use domain::{AccountId, Mode, Secret};
use proto::{Fault, code};
use rand::Rng as _;
use tracing::info;

use crate::{Error, Shared, sign, store};

/// What a rotation made.
pub(crate) struct Rotated {
    pub(crate) secret: Secret,
    /// `whpk_` and base64, of an endpoint that is signed by an Ed25519 key.
    pub(crate) public_key: Option<String>,
    /// Until when the old one signs as well. Microseconds UTC; 0: it does not.
    pub(crate) old_until: i64,
}

/// The secret, the same for everyone who asks: of several first callers, one makes it and all get it.
pub(crate) async fn secret(
    shared: &Shared,
    account: AccountId,
    mode: Mode,
) -> Result<Secret, Error> {
    let place = store::secret::place(account, mode);
    // A server that vanished must not keep an attempt's slot.
    let found = store::secret::find(shared.db.reader(), account, mode);
    let sealed = match shared.db.read(found).await? {
        Some(row) => row.secret,
        None => make(shared, account, mode).await?,
    };
    opened(shared, &place, &sealed)
}

/// What signs callbacks now: the secret, and behind it the one before it as long as that signs as well.
pub(crate) async fn signing(
    shared: &Shared,
    account: AccountId,
    mode: Mode,
) -> Result<Vec<Secret>, Error> {
    let found = store::secret::find(shared.db.reader(), account, mode);
    let Some(row) = shared.db.read(found).await? else {
        return Ok(vec![secret(shared, account, mode).await?]);
    };
    let place = store::secret::place(account, mode);
    let old = row.old.filter(|_| row.old_until > shared.db.now_micros());
    let sealed = [Some(row.secret), old];
    let sealed = sealed.iter().flatten();
    sealed.map(|one| opened(shared, &place, one)).collect()
}

/// Puts another secret in the place of the one there is, which signs as well for as long as is said.
///
/// # Errors
/// When it is to sign for too long, or the database failed.
pub(crate) async fn rotate(
    shared: &Shared,
    (account, mode): (AccountId, Mode),
    overlap: Duration,
) -> Result<Rotated, Error> {
    let old_until = until(shared, overlap)?;
    // There is one to be put in the place of.
    secret(shared, account, mode).await?;
    let new = fresh();
    let place = store::secret::place(account, mode);
    let sealed = shared
        .secrets
        .content()
        .seal(&place, new.expose().as_bytes())?;
    shared
        .db
        .write(move |connection| {
            Box::pin(store::secret::rotate(
                connection,
                (account, mode),
                sealed,
                old_until,
            ))
        })
        .await?;
    info!(account.id = %account, "the secret of callbacks was rotated");
    Ok(Rotated {
        secret: new,
        public_key: None,
        old_until,
    })
}

/// Until when something old signs as well. Microseconds UTC; 0: not at all.
pub(crate) fn until(shared: &Shared, overlap: Duration) -> Result<i64, Error> {
    let most = shared.limits.max_overlap;
    if overlap > most {
        let days = most.as_secs() / 86_400;
        let message = format!("overlap must be at most {}s ({days} days)", most.as_secs());
        return Err(Fault::new(code::INVALID_PARAMETER, message)
            .param("overlap")
            .into());
    }
    if overlap.is_zero() {
        return Ok(0);
    }
    Ok(shared.db.now_micros().saturating_add(micros(overlap)))
}

async fn make(shared: &Shared, account: AccountId, mode: Mode) -> Result<Vec<u8>, Error> {
    let place = store::secret::place(account, mode);
    let content = shared.secrets.content();
    let sealed = content.seal(&place, fresh().expose().as_bytes())?;
    let now = shared.db.now_micros();
    shared
        .db
        .write(move |connection| {
            Box::pin(store::secret::keep(connection, account, mode, sealed, now))
        })
        .await
}

/// What was sealed for a place: a text that is nobody else's business.
pub(crate) fn opened(shared: &Shared, place: &[u8], sealed: &[u8]) -> Result<Secret, Error> {
    let plain = shared.secrets.content().open(place, sealed)?;
    let text = String::from_utf8(plain).map_err(|_| Error::Damaged("a sealed text is no text"))?;
    Ok(Secret::new(text))
}

/// A new secret.
pub(crate) fn fresh() -> Secret {
    sign::secret_of(&random())
}

/// A new Ed25519 key.
pub(crate) fn fresh_key() -> Result<Secret, Error> {
    sign::signing_key_of(&random()).map_err(|_| Error::Damaged("no Ed25519 key can be made"))
}

fn random() -> [u8; sign::SECRET_BYTES] {
    let mut random = [0; sign::SECRET_BYTES];
    rand::rng().fill_bytes(&mut random);
    random
}
