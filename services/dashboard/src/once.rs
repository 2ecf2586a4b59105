//! Forms that make something are sent twice by a double click, or by a browser that is not sure of the first time. Such a form carries a
//! word of its own, `once`: the same form of the same browser with the same word makes one thing, and is answered as it was the first
//! time, for as long as `limits.door.forms.life`. What was refused made nothing, and may be sent again.

use std::{io::Read as _, sync::Arc, time::Duration};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use chassis::{clock::micros, telemetry::causes};
use flate2::{Compression, read::GzDecoder};
use http::{HeaderValue, Method, StatusCode, header};
use tokio::time::{Instant, sleep};
use tracing::{Span, error};

use crate::{
    Site,
    assets::gzip,
    error::Error,
    refused::Refused,
    session,
    store::{
        sent_form::{self, Sent},
        session::Mac,
    },
};

/// The field.
const FIELD: &str = "once";
/// How often somebody looks who waits for the answer to the first form.
const LOOK: Duration = Duration::from_millis(50);
/// What stands before a page, or a way to one, that is kept.
const PAGE: u8 = b'p';
const WAY: u8 = b'w';

/// A new word for a form.
pub(crate) fn word() -> String {
    chassis::mint::<domain::ids::Operation>().to_string()
}

/// The layer. Inside of what has the whole form there.
pub(crate) async fn once(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    if *request.method() != Method::POST {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let Ok(form) = to_bytes(body, usize::MAX).await else {
        return Refused::internal().into_response();
    };
    let request = Request::from_parts(head, Body::from(form.clone()));
    if !has_word(&form) {
        return next.run(request).await;
    }
    // To its end, from its first look on: a browser that sends the form again has left the first time.
    let tasks = site.tasks.clone();
    let work = guarded(site, request, (form, next));
    match tasks.run_to_end(Span::current(), work).await {
        Some(Ok(response)) => response,
        Some(Err(refused)) => refused.into_response(),
        None => Refused::internal().into_response(),
    }
}

fn has_word(form: &[u8]) -> bool {
    form_urlencoded::parse(form).any(|(name, word)| name == FIELD && !word.is_empty())
}

async fn guarded(
    site: Arc<Site>,
    request: Request,
    (form, next): (Bytes, Next),
) -> Result<Response, Refused> {
    // Nobody's form makes anything.
    let Some(session) = session::find(&site, request.headers()).await? else {
        return Ok(next.run(request).await);
    };
    let mac = mac(&site, session.mac, request.uri().path(), &form);
    while !begin(&site, mac, session.mac).await? {
        if let Some(sealed) = answer(&site, mac).await? {
            return open(&site, mac, &sealed);
        }
    }
    let response = next.run(request).await;
    Ok(kept(&site, mac, response).await?)
}

/// Waits for the answer to the form that was sent first: sealed. `None`: it made nothing.
async fn answer(site: &Site, mac: Mac) -> Result<Option<Vec<u8>>, Refused> {
    let began = Instant::now();
    while began.elapsed() < site.config.patience {
        let found = sent_form::find(site.db.reader(), mac, site.db.now_micros());
        match site.db.read(found).await? {
            Sent::Answered(sealed) => return Ok(Some(sealed)),
            Sent::Never => return Ok(None),
            Sent::Open => sleep(LOOK).await,
        }
    }
    let told = "This form was sent before, and how it ended is not known yet. Look whether what it makes is there; if it is not, \
                open the form anew.";
    Err(Refused::new(StatusCode::CONFLICT, told))
}

/// By what a form is known: whose it is, where it goes, and every word of it.
fn mac(site: &Site, session: Mac, path: &str, form: &[u8]) -> Mac {
    let session: String = session.iter().map(|byte| format!("{byte:02x}")).collect();
    let form = String::from_utf8_lossy(form);
    let macs = site.secrets.key_mac();
    macs.mac(&format!("dashboard/form/{session}/{path}?{form}"))
}

async fn begin(site: &Site, mac: Mac, session: Mac) -> Result<bool, Error> {
    let (now, limits) = (site.db.now_micros(), &site.config.door.limits);
    let ends_at = now.saturating_add(micros(limits.forms.life));
    let most = i64::from(limits.forms.kept);
    let write = site.db.write(move |connection| {
        Box::pin(sent_form::begin(
            connection,
            (mac, session),
            (now, ends_at),
            most,
        ))
    });
    write.await
}

/// Keeps the answer, if something was made; else forgets the form.
async fn kept(site: &Site, mac: Mac, response: Response) -> Result<Response, Error> {
    let status = response.status();
    if !status.is_success() && !status.is_redirection() {
        let write = site
            .db
            .write(move |connection| Box::pin(sent_form::forget(connection, mac)));
        write.await?;
        return Ok(response);
    }
    let (head, body) = response.into_parts();
    // Pages are made in memory, so that all of it is there.
    let page = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let answer = match head.headers.get(header::LOCATION) {
        Some(way) => [&[WAY], way.as_bytes()].concat(),
        None => [&[PAGE][..], &gzip(&page, Compression::default())?].concat(),
    };
    // A longer one is not given twice: who sends the form again is told that it was sent.
    if answer.len() <= site.config.door.limits.forms.bytes {
        let sealed = site.secrets.content().seal(&aad(mac), &answer);
        let sealed = sealed.map_err(|_| Error::Damaged("an answer"))?;
        let write = site
            .db
            .write(move |connection| Box::pin(sent_form::answered(connection, mac, sealed)));
        // What was made is made: the answer is worth more than what is kept of it.
        if let Err(error) = write.await {
            error!(error = %causes(&error), "cannot keep what a form was answered");
        }
    }
    Ok(Response::from_parts(head, Body::from(page)))
}

/// The answer again.
fn open(site: &Site, mac: Mac, sealed: &[u8]) -> Result<Response, Refused> {
    let damaged = || Refused::from(Error::Damaged("an answer"));
    let kept = site.secrets.content().open(&aad(mac), sealed);
    let kept = kept.map_err(|_| damaged())?;
    match kept.split_first() {
        Some((&WAY, way)) => {
            let way = HeaderValue::from_bytes(way).map_err(|_| damaged())?;
            Ok((StatusCode::SEE_OTHER, [(header::LOCATION, way)]).into_response())
        }
        Some((&PAGE, packed)) => {
            let mut page = Vec::new();
            let read = GzDecoder::new(packed).read_to_end(&mut page);
            read.map_err(|_| damaged())?;
            Ok((HTML, page).into_response())
        }
        Some(_) | None => Err(damaged()),
    }
}

const HTML: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];

fn aad(mac: Mac) -> Vec<u8> {
    [b"dashboard/sent_form/answer/".as_slice(), mac.as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_without_a_word_is_as_any_other() {
        for (form, has) in [
            ("name=x&once=opn_1", true),
            ("once=", false),
            ("name=once", false),
            ("", false),
        ] {
            assert_eq!(has_word(form.as_bytes()), has, "{form}");
        }
    }
}
