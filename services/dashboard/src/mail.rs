//! E-mail, where the installation has a server for it (`smtp.url`). Letters are sent behind the answer of the page that asks for them, a few
//! at a time, and once: whoever does not get theirs asks again. Logs do not say to whom.

use std::sync::Arc;

use chassis::Tasks;
use domain::UserId;
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
};
use tokio::sync::Semaphore;
use tracing::{info, info_span, warn};

use crate::{
    Site,
    config::Smtp,
    error::Error,
    sign::reset,
    store::{person, token::Purpose},
};

/// The way out for letters.
pub(crate) struct Mail {
    way: Option<Arc<Way>>,
    tasks: Tasks,
}

/// A server, and who writes.
struct Way {
    server: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    /// For letters that are being sent.
    places: Semaphore,
    /// For those and the ones that wait for it.
    waiting: Arc<Semaphore>,
}

/// Letters that are sent or wait to be, at most: where a server is slow, more are not sent.
const MOST_WAITING: usize = 256;

/// A letter.
pub(crate) struct Letter {
    to: String,
    subject: String,
    text: String,
}

// === impl Mail ===

impl Mail {
    /// Reads where the server is; it is not asked anything yet.
    ///
    /// # Errors
    /// When `smtp.url` is none, or `smtp.from` is missing beside it or no address.
    pub(crate) fn new(config: &Smtp, tasks: Tasks) -> Result<Self, Error> {
        let Some(url) = &config.url else {
            return Ok(Self { way: None, tasks });
        };
        let from = config.from.as_deref().unwrap_or_default();
        let from = from.parse().map_err(|_| {
            Error::Smtp("from must be an address, such as `API in One <no-reply@example.com>`")
        })?;
        let server = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose());
        let server = server.map_err(|_| {
            Error::Smtp("url must be like smtps://user:password@host:465, or smtp://user:password@host:587?tls=required")
        })?;
        let way = Way {
            server: server.timeout(Some(config.timeout)).build(),
            from,
            places: Semaphore::new(config.at_once.max(1)),
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
        };
        Ok(Self {
            way: Some(Arc::new(way)),
            tasks,
        })
    }

    /// Whether letters can be sent.
    pub(crate) fn is_there(&self) -> bool {
        self.way.is_some()
    }

    /// Sends a letter behind what goes on, if letters can be sent.
    fn send(&self, letter: Letter) {
        let Some(way) = self.way.clone() else { return };
        let Ok(waits) = Arc::clone(&way.waiting).try_acquire_owned() else {
            warn!("a letter is not sent: too many wait for the server");
            return;
        };
        self.tasks.spawn(info_span!("mail"), async move {
            way.send(letter).await;
            drop(waits);
        });
    }
}

// === impl Way ===

impl Way {
    async fn send(&self, letter: Letter) {
        let Ok(_place) = self.places.acquire().await else {
            return;
        };
        let Some(message) = self.written(letter) else {
            warn!("a letter cannot be written: an address takes none");
            return;
        };
        let sent = self.server.send(message).await;
        // What the server says may name the reader.
        let failed = sent
            .err()
            .map(|error| (error.is_timeout(), error.is_permanent()));
        match failed {
            None => info!("sent a letter"),
            Some((timed_out, refused)) => warn!(timed_out, refused, "cannot send a letter"),
        }
    }

    fn written(&self, letter: Letter) -> Option<Message> {
        let message = Message::builder()
            .from(self.from.clone())
            .to(letter.to.parse().ok()?)
            .subject(letter.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(letter.text);
        message.ok()
    }
}

// === impl Letter ===

impl Letter {
    /// Asks somebody to confirm an address.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn confirm(site: &Site, person: UserId, email: &str) -> Result<(), Error> {
        if !site.door.mail.is_there() {
            return Ok(());
        }
        let what = (Purpose::Confirm, email.to_owned());
        let secret = reset::made(site, person, what).await?;
        let link = format!("{}/confirm?token={secret}", site.public_url);
        site.door.mail.send(Self {
            to: email.to_owned(),
            subject: "Confirm your address".to_owned(),
            text: format!(
                "Somebody has given this address at {url}. If that was you, confirm it here:\n\n{link}\n\nIf it was not, do nothing.\n",
                url = site.public_url
            ),
        });
        Ok(())
    }

    /// Sends whoever has an address, if anybody does, a link that sets a new password. All of it behind what goes on, so that nobody sees
    /// by the time it takes whether anybody does.
    pub(crate) fn reset(site: &Arc<Site>, email: String) {
        let site = Arc::clone(site);
        let tasks = site.door.mail.tasks.clone();
        tasks.spawn(info_span!("mail"), async move {
            if let Err(error) = Self::reset_now(&site, email).await {
                warn!(error = %chassis::telemetry::causes(&error), "cannot make a link for a new password");
            }
        });
    }

    async fn reset_now(site: &Site, email: String) -> Result<(), Error> {
        let known = person::by_email(site.db.reader(), &email);
        let Some(known) = site.db.read(known).await? else {
            return Ok(());
        };
        let secret = reset::token(site, known.id, email.clone()).await?;
        let link = format!("{}/reset?token={secret}", site.public_url);
        site.door.mail.send(Self {
            to: email,
            subject: "A new password".to_owned(),
            text: format!(
                "Somebody wants to set a new password for this address at {url}. If that was you, do so here:\n\n{link}\n\n\
                 If it was not, do nothing: the old one stays as it is.\n",
                url = site.public_url
            ),
        });
        Ok(())
    }

    /// Tells somebody that they are invited to an account of this name, if letters can be sent.
    pub(crate) fn invite(site: &Site, email: String, (account, link): (&str, &str)) {
        site.door.mail.send(Self {
            to: email,
            subject: "An invitation".to_owned(),
            text: format!(
                "You are invited to use the account {account} at {url}:\n\n{link}\n\nIf you do not want to, do nothing.\n",
                url = site.public_url
            ),
        });
    }
}
