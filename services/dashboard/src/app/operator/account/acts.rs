//! What operators do about an account: each a form that leads back to its page.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Path, State},
    response::{IntoResponse as _, Redirect, Response},
};
use domain::{AccountId, KeyId, Micros, Mode, Moment, MoneyError, OperationId, PriceFactor};
use http::StatusCode;
use proto::{
    billing::v1::{
        AddCreditsRequest, FreezeAccountRequest, RevokeKeyRequest, SetPriceFactorRequest,
    },
    media::v1::{Retention, SetRetentionRequest},
    mode_to_wire,
};
use serde::Deserialize;

use super::{DAY_SECONDS, PART, Tabs, accounts, id_of, refused};
use crate::{
    Site,
    app::Frame,
    page::Page,
    refused::{Answer, Refusal, Refused},
    who::{Member, Operates},
};

/// The longest that an operator may keep an account's files, in days: a hundred years.
const LONGEST_DAYS: u64 = 36_500;

/// Credit to be given or taken.
#[derive(Deserialize)]
pub(crate) struct Credits {
    credits: String,
    mode: String,
    reason: String,
    #[serde(default)]
    expires: String,
    once: String,
}

/// What is shown where nobody knows whether credit was booked.
#[derive(Template)]
#[template(path = "app/operator/unsure.html")]
struct Unsure<'s> {
    frame: Frame<'s>,
    tabs: Tabs,
    id: AccountId,
    said: &'s Credits,
    told: &'s str,
}

/// Whether the account may ask for anything new.
#[derive(Deserialize)]
pub(crate) struct Standing {
    frozen: bool,
}

/// What it pays of a price.
#[derive(Deserialize)]
pub(crate) struct Factor {
    factor: String,
}

/// How long its files are kept, in days.
#[derive(Deserialize)]
pub(crate) struct Keeping {
    #[serde(default)]
    outputs: String,
    #[serde(default)]
    files: String,
}

/// A key to be revoked.
#[derive(Deserialize)]
pub(crate) struct Revoked {
    key: String,
}

/// `POST …/credits`.
pub(crate) async fn add_credits(
    State(site): State<Arc<Site>>,
    member: Member<Operates>,
    Path(id): Path<String>,
    Form(said): Form<Credits>,
) -> Answer {
    let account = id_of(&id)?;
    match give(&site, &member, account, &said).await {
        // Billing may have booked it and not been heard.
        Err(Refused::Told(why)) if !why.status.is_client_error() => {
            Ok(unsure(&site, &member, (account, &said), &why))
        }
        done => back(&site, &member, (account, "credits"), done).await,
    }
}

/// The form again, under the id that it had: under a new one it would be booked a second time. Billing is not asked for it, which may
/// be down.
fn unsure(
    site: &Site,
    member: &Member<Operates>,
    (id, said): (AccountId, &Credits),
    why: &Refusal,
) -> Response {
    let html = Unsure {
        frame: Frame::new(site, member, PART, "It may be booked, or not"),
        tabs: Tabs("/operator/accounts"),
        id,
        said,
        told: &why.message,
    };
    why.on(Page::html(&html))
}

async fn give(
    site: &Site,
    member: &Member<Operates>,
    account: AccountId,
    said: &Credits,
) -> Result<(), Refused> {
    let request = AddCreditsRequest {
        account_id: account.to_vec().into(),
        mode: mode_to_wire(mode_of(&said.mode)?).into(),
        amount: amount(&said.credits)?.get(),
        reason: said.reason.trim().to_owned(),
        transfer_id: id_of::<domain::ids::Operation>(&said.once)
            .map(OperationId::to_vec)?
            .into(),
        by: Some(member.by()),
        expires_at: end_of(&said.expires)?,
    };
    let mut billing = site.peers.billing.clone();
    billing.add_credits(site.peers.ask(request)).await?;
    Ok(())
}

/// `POST …/standing`.
pub(crate) async fn set_standing(
    State(site): State<Arc<Site>>,
    member: Member<Operates>,
    Path(id): Path<String>,
    Form(said): Form<Standing>,
) -> Answer {
    let account = id_of(&id)?;
    let request = FreezeAccountRequest {
        account_id: account.to_vec().into(),
        frozen: said.frozen,
        by: Some(member.by()),
    };
    let mut billing = site.peers.billing.clone();
    let done = billing.freeze_account(site.peers.ask(request)).await;
    let done = done.map(drop).map_err(Refused::from);
    back(&site, &member, (account, "standing"), done).await
}

/// `POST …/factor`.
pub(crate) async fn set_factor(
    State(site): State<Arc<Site>>,
    member: Member<Operates>,
    Path(id): Path<String>,
    Form(said): Form<Factor>,
) -> Answer {
    let account = id_of(&id)?;
    let told = "A price factor is above 0 and at most 10, with six decimal places at most.";
    let done = match PriceFactor::parse(said.factor.trim()) {
        None => Err(field("factor", told)),
        Some(factor) => {
            let request = SetPriceFactorRequest {
                account_id: account.to_vec().into(),
                price_factor: factor.parts_per_million(),
                by: Some(member.by()),
            };
            let mut prices = site.peers.prices.clone();
            let done = prices.set_price_factor(site.peers.ask(request)).await;
            done.map(drop).map_err(Refused::from)
        }
    };
    back(&site, &member, (account, "factor"), done).await
}

/// `POST …/retention`.
pub(crate) async fn set_retention(
    State(site): State<Arc<Site>>,
    member: Member<Operates>,
    Path(id): Path<String>,
    Form(said): Form<Keeping>,
) -> Answer {
    let account = id_of(&id)?;
    let done = keep(&site, &member, account, &said).await;
    back(&site, &member, (account, "retention"), done).await
}

async fn keep(
    site: &Site,
    member: &Member<Operates>,
    account: AccountId,
    said: &Keeping,
) -> Result<(), Refused> {
    // Media does not know who there is.
    accounts::one(site, account).await?;
    let retention = Retention {
        outputs: seconds("outputs", &said.outputs)?,
        files: seconds("files", &said.files)?,
    };
    let request = SetRetentionRequest {
        account_id: account.to_vec().into(),
        retention: Some(retention),
        by: Some(member.by()),
    };
    let mut media = site.peers.operators.media.clone();
    media.set_retention(site.peers.ask(request)).await?;
    Ok(())
}

/// `POST …/keys`.
pub(crate) async fn revoke_key(
    State(site): State<Arc<Site>>,
    member: Member<Operates>,
    Path(id): Path<String>,
    Form(said): Form<Revoked>,
) -> Answer {
    let account = id_of(&id)?;
    let key: KeyId = id_of(&said.key)?;
    let request = RevokeKeyRequest {
        context: None,
        key_id: key.to_vec().into(),
        by: Some(member.by()),
    };
    let mut keys = site.peers.keys.clone();
    let done = keys.revoke_key(site.peers.ask(request)).await;
    let done = done.map(drop).map_err(Refused::from);
    back(&site, &member, (account, "revoked"), done).await
}

/// Back to the page, saying what was done; or the page with what was refused.
async fn back(
    site: &Arc<Site>,
    member: &Member<Operates>,
    (account, word): (AccountId, &'static str),
    done: Result<(), Refused>,
) -> Result<Response, Refused> {
    match done {
        Ok(()) => {
            let path = format!("/operator/accounts/{account}?said={word}");
            Ok(Redirect::to(&path).into_response())
        }
        Err(why) => refused(site, member, account, why).await,
    }
}

fn field(name: &str, told: &str) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, told).of(name)
}

/// A word of a form.
pub(in crate::app::operator) fn mode_of(word: &str) -> Result<Mode, Refused> {
    Mode::parse(word).ok_or_else(|| field("mode", "A mode is test or live."))
}

/// An amount of a form, in credits.
pub(in crate::app::operator) fn amount(text: &str) -> Result<Micros, Refused> {
    Micros::parse_credits(text.trim()).map_err(|error| {
        let told = match error {
            MoneyError::NotANumber => "An amount of credits is a plain number, such as 10.5.",
            MoneyError::TooPrecise => "An amount of credits has six decimal places at most.",
            MoneyError::Overflow => "That is more credits than there can be.",
        };
        field("credits", told)
    })
}

/// The end of a UTC day that a form names, in microseconds; nothing is 0: never.
pub(in crate::app::operator) fn end_of(day: &str) -> Result<i64, Refused> {
    let day = day.trim();
    if day.is_empty() {
        return Ok(0);
    }
    let moment = Moment::parse(&format!("{day}T23:59:59Z"));
    let moment = moment.map(Moment::micros).filter(|micros| *micros > 0);
    moment.ok_or_else(|| field("expires", "A day looks like 2030-01-31."))
}

/// Whole days in seconds; nothing is 0: as long as everybody's.
fn seconds(name: &str, days: &str) -> Result<u64, Refused> {
    let days = days.trim();
    if days.is_empty() {
        return Ok(0);
    }
    let days = days.parse::<u64>().ok();
    let days = days.filter(|days| (1..=LONGEST_DAYS).contains(days));
    let told = "A number of days is from 1 to 36500; leave it empty for what everybody has.";
    days.map(|days| days.saturating_mul(DAY_SECONDS))
        .ok_or_else(|| field(name, told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read() {
        assert_eq!(end_of("").ok(), Some(0));
        assert_eq!(end_of(" 1970-01-01 ").ok(), Some(86_399_000_000));
        assert!(end_of("1.2.2030").is_err() && end_of("1960-01-01").is_err());
        assert_eq!(seconds("files", "2").ok(), Some(2 * DAY_SECONDS));
        assert_eq!(seconds("files", " ").ok(), Some(0));
        for wrong in ["0", "-1", "1.5", "36501", "x"] {
            assert!(seconds("files", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn amounts_are_exact() {
        assert_eq!(amount(" -10.5 ").ok(), Some(Micros::new(-10_500_000)));
        for wrong in ["", "1,5", "0.0000001", "1e400"] {
            let refusal = amount(wrong).err().and_then(|wrong| wrong.told().ok());
            let param = refusal.and_then(|refusal| refusal.param);
            assert_eq!(param.as_deref(), Some("credits"), "{wrong}");
        }
    }
}
