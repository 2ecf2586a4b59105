//! `/settings/members`: who may use the account, and who is asked to.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Query, State},
    response::{IntoResponse as _, Redirect},
};
use domain::{AccountId, Id, UserId};
use http::StatusCode;
use serde::Deserialize;
use sqlx::AnyConnection;

use super::{PART, Wrong, answered, done, said, told};
use crate::{
    Error, Site,
    app::Frame,
    mail::Letter,
    page::Page,
    people::{InviteKind, Role},
    refused::{Answer, Refusal, Refused},
    session,
    show::Time,
    sign::{self, enter::ends, invited, limits},
    store::{
        act, member, session as sessions,
        token::{self, Invite},
    },
    who::{Member, Owns},
};

/// The page.
const PAGE: &str = "/settings/members";

/// What the forms say.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Said {
    email: String,
    role: String,
    person: String,
    invite: String,
}

#[derive(Template)]
#[template(path = "app/settings_members.html")]
struct Html<'s> {
    frame: Frame<'s>,
    tab: &'static str,
    owner: bool,
    members: Vec<MemberRow>,
    invites: Vec<InviteRow>,
    /// What was just made: for whom, and the link; shown this once.
    made: Option<(String, String)>,
    /// Whether it was mailed as well.
    mail: bool,
    email: &'s str,
    wrong: Option<&'s Wrong>,
}

struct MemberRow {
    id: String,
    name: String,
    email: String,
    role: Role,
    here: bool,
    since: Time,
}

struct InviteRow {
    id: String,
    email: String,
    role: &'static str,
    until: Time,
}

/// What becomes of a change of who may do what.
enum Change {
    Done,
    /// They do not use the account.
    Nobody,
    /// Nobody would own it.
    LastOwner,
}

/// What a page shows beside the lists.
#[derive(Default)]
struct Beside {
    said: Option<&'static str>,
    made: Option<(String, String)>,
    wrong: Option<(&'static str, Refusal)>,
    email: String,
}

/// `GET /settings/members`.
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    member: Member,
    Query(query): Query<super::Query>,
) -> Answer {
    let beside = Beside {
        said: said(&query.said),
        ..Beside::default()
    };
    show(&site, &member, beside).await
}

async fn show<N>(site: &Arc<Site>, member: &Member<N>, beside: Beside) -> Answer {
    let (reader, account) = (site.db.reader(), member.view().account);
    let members = site.db.read(member::of_account(reader, account)).await?;
    let owner = member.view().role == Role::Owner;
    let invites = if owner {
        let invites = token::invites(reader, account, site.db.now_micros());
        site.db.read(invites).await?
    } else {
        Vec::new()
    };
    let wrong = beside.wrong.map(|(form, refusal)| Wrong { form, refusal });
    let html = Html {
        frame: Frame::new(site, member, PART, "Members").saying(beside.said),
        tab: PAGE,
        owner,
        members: members
            .into_iter()
            .map(|row| listing(row, member.person.id))
            .collect(),
        invites: invites.into_iter().map(asked).collect(),
        made: beside.made,
        mail: site.door.mail.is_there(),
        email: &beside.email,
        wrong: wrong.as_ref(),
    };
    Ok(answered(Page::html(&html), wrong.as_ref()))
}

fn listing(row: member::Listed, here: UserId) -> MemberRow {
    MemberRow {
        id: row.person.to_string(),
        name: row.name,
        email: row.email,
        role: row.role,
        here: row.person == here,
        since: Time::of(row.created_at),
    }
}

fn asked(invite: Invite) -> InviteRow {
    InviteRow {
        id: invite.id.to_string(),
        email: invite.email,
        role: invite.role.name(),
        until: Time::of(invite.ends_at),
    }
}

/// `POST /settings/members/invite`. The link is shown this once, and mailed where letters can be sent.
pub(super) async fn invite(
    State(site): State<Arc<Site>>,
    member: Member<Owns>,
    Form(said): Form<Said>,
) -> Answer {
    let beside = match made(&site, &member, &said).await {
        Ok(made) => Beside {
            made: Some(made),
            ..Beside::default()
        },
        Err(refused) => Beside {
            wrong: Some(("invite", refused.told()?)),
            email: said.email,
            ..Beside::default()
        },
    };
    show(&site, &member, beside).await
}

async fn made(
    site: &Arc<Site>,
    member: &Member<Owns>,
    said: &Said,
) -> Result<(String, String), Refused> {
    let email = sign::address(&said.email)?;
    let role = role(&said.role)?;
    let (reader, account) = (site.db.reader(), member.view().account);
    let members = site.db.read(member::of_account(reader, account)).await?;
    if members.iter().any(|known| known.email == email) {
        let told = "They may use this account already.";
        return Err(sign::field("email", told));
    }
    let now = site.db.now_micros();
    let asked = site.db.read(token::invites(reader, account, now)).await?;
    let most = site.config.door.limits.members;
    if members.len().saturating_add(asked.len()) >= most {
        let told = format!("An account has {most} people and open invitations at most.");
        return Err(Refused::new(StatusCode::CONFLICT, told));
    }
    let secret = session::secret();
    let mac = invited::mac(site, &secret);
    let invite = Invite {
        id: chassis::mint::<InviteKind>(),
        account,
        email: email.clone(),
        role,
        ends_at: ends(site, site.config.door.limits.lives.invite),
    };
    let (by, to) = (member.person.id, email.clone());
    let write = site.db.write(move |connection| {
        Box::pin(async move {
            token::invite(connection, mac, invite, now).await?;
            act::note(connection, (account, by), ("member.invite", to), now).await
        })
    });
    write.await?;
    let link = format!("{}/invite?token={secret}", site.public_url);
    // The link is shown as well: what is not mailed is handed over.
    let whose = account.to_string();
    if limits::may_mail(site, &whose).await && limits::may_mail(site, &email).await {
        Letter::invite(site, email.clone(), (&member.view().name, &link));
    }
    Ok((email, link))
}

/// `POST /settings/members/uninvite`.
pub(super) async fn uninvite(
    State(site): State<Arc<Site>>,
    member: Member<Owns>,
    Form(said): Form<Said>,
) -> Answer {
    let invite = Id::parse(&said.invite).ok_or_else(Refused::not_found)?;
    let (account, by) = (member.view().account, member.person.id);
    let now = site.db.now_micros();
    let write = site.db.write(move |connection| {
        Box::pin(async move {
            let Some(to) = token::uninvite(connection, account, invite).await? else {
                return Ok::<_, Error>(false);
            };
            let what = ("member.uninvite", to);
            act::note(connection, (account, by), what, now).await?;
            Ok(true)
        })
    });
    if !write.await? {
        return Err(Refused::not_found());
    }
    Ok(done(PAGE, "uninvited"))
}

/// `POST /settings/members/role`.
pub(super) async fn set_role(
    State(site): State<Arc<Site>>,
    member: Member<Owns>,
    Form(said): Form<Said>,
) -> Answer {
    let wanted = role(&said.role)?;
    let person = Id::parse(&said.person).ok_or_else(Refused::not_found)?;
    let (whose, by) = ((member.view().account, person), member.person.id);
    let now = site.db.now_micros();
    let write = site.db.write(move |connection| {
        Box::pin(async move {
            match may_lose(connection, whose, Some(wanted)).await? {
                Change::Done => {
                    member::join(connection, whose, wanted, now).await?;
                    let subject = format!("{person} {}", wanted.as_str());
                    act::note(connection, (whose.0, by), ("member.role", subject), now).await?;
                    Ok::<_, Error>(Change::Done)
                }
                left @ (Change::Nobody | Change::LastOwner) => Ok(left),
            }
        })
    });
    let changed = write.await?;
    answer(&site, &member, changed, "role").await
}

/// `POST /settings/members/remove`.
pub(super) async fn remove(
    State(site): State<Arc<Site>>,
    member: Member<Owns>,
    Form(said): Form<Said>,
) -> Answer {
    let person = Id::parse(&said.person).ok_or_else(Refused::not_found)?;
    let account = member.view().account;
    let changed = removed(&site, (account, person), member.person.id).await?;
    answer(&site, &member, changed, "removed").await
}

/// `POST /settings/members/leave`.
pub(super) async fn leave(State(site): State<Arc<Site>>, member: Member) -> Answer {
    let (account, person) = (member.view().account, member.person.id);
    match removed(&site, (account, person), person).await? {
        Change::Done => Ok(Redirect::to("/sign-in").into_response()),
        left @ (Change::Nobody | Change::LastOwner) => answer(&site, &member, left, "").await,
    }
}

/// Lets somebody use the account no more, and signs them out of it.
async fn removed(site: &Site, whose: (AccountId, UserId), by: UserId) -> Result<Change, Error> {
    let (account, person) = whose;
    let now = site.db.now_micros();
    let write = site.db.write(move |connection| {
        Box::pin(async move {
            match may_lose(connection, whose, None).await? {
                Change::Done => {
                    member::leave(connection, whose).await?;
                    sessions::end_at(connection, person, account).await?;
                    member::forget_alone(connection, person).await?;
                    let what = ("member.remove", person.to_string());
                    act::note(connection, (account, by), what, now).await?;
                    Ok::<_, Error>(Change::Done)
                }
                left @ (Change::Nobody | Change::LastOwner) => Ok(left),
            }
        })
    });
    write.await
}

/// Whether somebody may get this role, or none, so that an owner is left. Nobody else changes that before this transaction has ended.
async fn may_lose(
    connection: &mut AnyConnection,
    whose: (AccountId, UserId),
    wanted: Option<Role>,
) -> Result<Change, Error> {
    let owners = member::lock_owners(connection, whose.0).await?;
    let role = member::role(connection, whose).await?;
    Ok(match role {
        None => Change::Nobody,
        Some(Role::Owner) if wanted != Some(Role::Owner) && owners < 2 => Change::LastOwner,
        Some(_) => Change::Done,
    })
}

async fn answer<N>(site: &Arc<Site>, member: &Member<N>, changed: Change, word: &str) -> Answer {
    match changed {
        Change::Done => Ok(done(PAGE, word)),
        Change::Nobody => Err(Refused::not_found()),
        Change::LastOwner => {
            let told = "An account has an owner at least. Make somebody else one first.";
            let refusal = Refused::new(StatusCode::CONFLICT, told).told()?;
            let beside = Beside {
                wrong: Some(("members", refusal)),
                ..Beside::default()
            };
            show(site, member, beside).await
        }
    }
}

fn role(word: &str) -> Result<Role, Refused> {
    let told = "A role is viewer, member or owner.";
    Role::parse(word).ok_or_else(|| sign::field("role", told))
}

// === impl Html ===

impl Html<'_> {
    fn told(&self, form: &str) -> Option<&str> {
        told(self.wrong, form)
    }
}

// === impl MemberRow ===

impl MemberRow {
    /// The roles that they may have: word, name, and whether it is theirs.
    fn roles(&self) -> [(&'static str, &'static str, bool); 3] {
        [Role::Owner, Role::Member, Role::Viewer]
            .map(|role| (role.as_str(), role.name(), role == self.role))
    }
}
