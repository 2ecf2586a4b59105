//! `/settings/you/passkeys`: the passkeys of whoever is here. A device is asked for one by the page's script, in two steps; what it is asked
//! is known by the session, so that it ends with it.

use std::sync::Arc;

use axum::{Form, extract::State};
use chassis::mint;
use domain::Id;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::{
    PART, done,
    you::{knows_password, show},
};
use crate::{
    Error, Site, passkey,
    people::PasskeyKind,
    refused::{Answer, Refused},
    show::Time,
    sign,
    store::{
        act,
        passkey::{self as passkeys, Added, Listed, NewRow, Removed},
    },
    who::Member,
};

/// What a device's challenge is known by: [`passkey::mac`].
const WHAT: &str = "add";
/// The form of the page that says what is wrong.
const FORM: &str = "passkey";

/// What the forms say.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Said {
    name: String,
    /// The one that is there.
    password: String,
    /// What the device has made, as JSON.
    credential: String,
    /// Which one is removed.
    passkey: String,
}

/// A part of the page.
pub(super) struct Passkeys<'s> {
    pub(super) rows: Vec<Row>,
    /// Where they work; empty: nowhere.
    pub(super) origin: &'s str,
}

/// One of somebody's.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) since: Time,
    pub(super) used: Option<Time>,
}

// === impl Passkeys ===

impl<'s> Passkeys<'s> {
    /// Those of whoever is here.
    pub(super) async fn of(site: &'s Site, member: &Member) -> Result<Self, Error> {
        let rows = passkeys::of_person(site.db.reader(), member.person.id);
        let rows = site.db.read(rows).await?;
        Ok(Self {
            rows: rows.into_iter().map(Row::of).collect(),
            origin: site.door.passkeys.origin().unwrap_or_default(),
        })
    }
}

impl Row {
    fn of(row: Listed) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name,
            since: Time::of(row.created_at),
            used: row.used_at.map(Time::of),
        }
    }
}

/// `POST /settings/you/passkeys/begin`: what a script is to ask the device.
pub(super) async fn begin(
    State(site): State<Arc<Site>>,
    member: Member,
    Form(said): Form<Said>,
) -> Answer {
    passkey::told(begun(&site, &member, &said).await)
}

async fn begun(site: &Arc<Site>, member: &Member, said: &Said) -> Result<Value, Refused> {
    // A device keeps what it makes: what would be refused then is refused now.
    sign::called(&said.name)?;
    knows_password(site, member, &said.password).await?;
    let known = passkeys::of_person(site.db.reader(), member.person.id);
    let known = site.db.read(known).await?;
    let most = site.config.door.limits.passkeys.most;
    if usize::try_from(most).is_ok_and(|most| known.len() >= most) {
        return Err(too_many(most));
    }
    let known = known.into_iter().map(|row| row.credential).collect();
    let asked = site.door.passkeys.ask_for_one(&member.person, known)?;
    let mac = passkey::mac(site, (WHAT, &member.session));
    Ok(passkey::ask(site, mac, asked).await?)
}

/// `POST /settings/you/passkeys`.
pub(super) async fn add(
    State(site): State<Arc<Site>>,
    member: Member,
    Form(said): Form<Said>,
) -> Answer {
    match added(&site, &member, said).await {
        Ok(()) => Ok(done(PART, "passkey")),
        Err(refused) => show(&site, &member, None, Some((FORM, refused.told()?))).await,
    }
}

async fn added(site: &Arc<Site>, member: &Member, said: Said) -> Result<(), Refused> {
    let name = sign::called(&said.name)?;
    let mac = passkey::mac(site, (WHAT, &member.session));
    let state = passkey::asked(site, mac).await?;
    let (credential, public_key) = site.door.passkeys.made(&said.credential, &state)?;
    let (person, account) = (member.person.id, member.view().account);
    let now = site.db.now_micros();
    let most = site.config.door.limits.passkeys.most;
    let row = NewRow {
        id: mint::<PasskeyKind>(),
        credential,
        person,
        name: name.clone(),
        public_key,
        now,
    };
    let write = site.db.write(move |connection| {
        Box::pin(async move {
            let added = passkeys::add(connection, row, i64::from(most)).await?;
            if added == Added::Done {
                act::note(connection, (account, person), ("passkey.add", name), now).await?;
            }
            Ok::<_, Error>(added)
        })
    });
    match write.await? {
        Added::Done => Ok(()),
        Added::TooMany => Err(too_many(most)),
        Added::Known => {
            let told = "This passkey is known already.";
            Err(Refused::new(StatusCode::CONFLICT, told))
        }
        Added::Nobody => Err(Refused::not_found()),
    }
}

/// `POST /settings/you/passkeys/remove`. Without a password: it lets nobody in.
pub(super) async fn remove(
    State(site): State<Arc<Site>>,
    member: Member,
    Form(said): Form<Said>,
) -> Answer {
    let passkey = Id::parse(&said.passkey).ok_or_else(Refused::not_found)?;
    let (person, account) = (member.person.id, member.view().account);
    let now = site.db.now_micros();
    let write = site.db.write(move |connection| {
        Box::pin(async move {
            let removed = passkeys::remove(connection, person, passkey).await?;
            if let Removed::Done(name) = &removed {
                let what = ("passkey.remove", name.clone());
                act::note(connection, (account, person), what, now).await?;
            }
            Ok::<_, Error>(removed)
        })
    });
    match write.await? {
        Removed::Done(_) => Ok(done(PART, "no-passkey")),
        Removed::Unknown => Err(Refused::not_found()),
        Removed::Last => {
            let told = "You have no password, and could not come in without this passkey. Set a password first.";
            let refusal = Refused::new(StatusCode::CONFLICT, told).told()?;
            show(&site, &member, None, Some((FORM, refusal))).await
        }
    }
}

fn too_many(most: u32) -> Refused {
    let told = format!("You may have {most} passkeys. Remove one first.");
    Refused::new(StatusCode::CONFLICT, told)
}
