//! Use case: the secret that signs the callbacks of an account and mode, made when first needed.

use domain::{AccountId, Mode, Secret};
use rand::Rng as _;

use crate::{Error, Shared, sign, store};

/// The secret, the same for everyone who asks: of several first callers, one makes it and all get it.
pub(crate) async fn secret(
    shared: &Shared,
    account: AccountId,
    mode: Mode,
) -> Result<Secret, Error> {
    let place = store::secret::place(account, mode);
    let content = shared.secrets.content();
    // A server that vanished must not keep an attempt's slot.
    let found = store::secret::find(shared.db.reader(), account, mode);
    let sealed = match shared.db.read(found).await? {
        Some(sealed) => sealed,
        None => {
            let sealed = content.seal(&place, fresh().expose().as_bytes())?;
            let now = shared.db.now_micros();
            shared
                .db
                .write(move |connection| {
                    Box::pin(store::secret::keep(connection, account, mode, sealed, now))
                })
                .await?
        }
    };
    opened(shared, &place, &sealed)
}

/// What was sealed for a place: a text that is nobody else's business.
pub(crate) fn opened(shared: &Shared, place: &[u8], sealed: &[u8]) -> Result<Secret, Error> {
    let plain = shared.secrets.content().open(place, sealed)?;
    let text = String::from_utf8(plain).map_err(|_| Error::Damaged("a sealed text is no text"))?;
    Ok(Secret::new(text))
}

/// A new secret.
pub(crate) fn fresh() -> Secret {
    let mut random = [0; sign::SECRET_BYTES];
    rand::rng().fill_bytes(&mut random);
    sign::secret_of(&random)
}
