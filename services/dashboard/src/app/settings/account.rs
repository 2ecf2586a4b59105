//! `/settings/account`: what it is called, when its people are told that the balance is low, how long its files are kept, the other
//! accounts that one may use, and its end.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Query, State},
    response::{IntoResponse as _, Redirect},
};
use domain::{Id, Micros};
use proto::{
    billing::v1::{GetBalanceRequest, SetAlertRequest},
    media::v1::GetRetentionRequest,
};
use serde::Deserialize;

use super::{PART, Wrong, answered, done, said, told};
use crate::{
    Error, Site,
    app::Frame,
    page::Page,
    people::Role,
    refused::{Answer, Refusal, Refused},
    sign,
    store::{act, member, session},
    who::{Manages, Member, Owns},
};

/// The page.
const PAGE: &str = "/settings/account";
/// Seconds.
const DAY: u64 = 24 * 60 * 60;

/// What the forms say.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Said {
    name: String,
    /// Credits; empty: nobody is told.
    below: String,
    account: String,
}

#[derive(Template)]
#[template(path = "app/settings_account.html")]
struct Html<'s> {
    frame: Frame<'s>,
    tab: &'static str,
    id: String,
    owner: bool,
    /// In credits; empty: nobody is told.
    below: String,
    frozen: bool,
    /// How long what tasks make and what is uploaded is kept.
    kept: [(&'static str, String); 2],
    accounts: Vec<AccountRow>,
    wrong: Option<&'s Wrong>,
}

struct AccountRow {
    id: String,
    name: String,
    role: &'static str,
    here: bool,
}

/// `GET /settings/account`.
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    member: Member,
    Query(query): Query<super::Query>,
) -> Answer {
    show(&site, &member, said(&query.said), None).await
}

/// The page, with what is wrong with one of its forms.
pub(super) async fn show<N>(
    site: &Arc<Site>,
    member: &Member<N>,
    said: Option<&'static str>,
    wrong: Option<(&'static str, Refusal)>,
) -> Answer {
    let request = GetBalanceRequest {
        context: Some(member.context()),
    };
    let mut billing = site.peers.billing.clone();
    let balance = billing.get_balance(site.peers.ask(request)).await?;
    let balance = balance.into_inner();
    let used = member::of_person(site.db.reader(), member.person.id);
    let used = site.db.read(used).await?;
    let wrong = wrong.map(|(form, refusal)| Wrong { form, refusal });
    let view = member.view();
    let html = Html {
        frame: Frame::new(site, member, PART, "Account").saying(said),
        tab: PAGE,
        id: view.account.to_string(),
        owner: view.role == Role::Owner,
        below: balance
            .alert_below
            .map(|below| Micros::new(below).to_string())
            .unwrap_or_default(),
        frozen: balance.frozen,
        kept: kept(site, member).await,
        accounts: used
            .into_iter()
            .map(|used| AccountRow {
                id: used.account.to_string(),
                name: used.name,
                role: used.role.name(),
                here: used.account == view.account,
            })
            .collect(),
        wrong: wrong.as_ref(),
    };
    Ok(answered(Page::html(&html), wrong.as_ref()))
}

/// How long files are kept, as media says it; the page is there without it.
async fn kept<N>(site: &Site, member: &Member<N>) -> [(&'static str, String); 2] {
    let request = GetRetentionRequest {
        account_id: member.view().account.to_vec().into(),
    };
    let asked = site.peers.ask(request);
    let reply = site
        .peers
        .operators
        .media
        .clone()
        .get_retention(asked)
        .await;
    let (outputs, files) = match reply {
        Ok(reply) => {
            let kept = reply.into_inner();
            (span(kept.outputs), span(kept.files))
        }
        Err(_) => (
            "not known at the moment".to_owned(),
            "not known at the moment".to_owned(),
        ),
    };
    [("What tasks make", outputs), ("What you upload", files)]
}

/// Seconds in words.
fn span(seconds: u64) -> String {
    match seconds {
        0 => "as long as everybody's here".to_owned(),
        _ if seconds.is_multiple_of(DAY) => {
            let days = seconds / DAY;
            format!("{days} day{}", if days == 1 { "" } else { "s" })
        }
        _ => format!("{} minutes", seconds.div_ceil(60)),
    }
}

/// `POST /settings/account/name`.
pub(super) async fn rename(
    State(site): State<Arc<Site>>,
    member: Member<Owns>,
    Form(said): Form<Said>,
) -> Answer {
    let name = match sign::called(&said.name) {
        Ok(name) => name,
        Err(refused) => return show(&site, &member, None, Some(("name", refused.told()?))).await,
    };
    let (account, by) = (member.view().account, member.person.id);
    let now = site.db.now_micros();
    let write = site.db.write(move |connection| {
        Box::pin(async move {
            member::rename(connection, account, &name).await?;
            act::note(connection, (account, by), ("account.rename", name), now).await
        })
    });
    let written: Result<(), Error> = write.await;
    written?;
    Ok(done(PAGE, "name"))
}

/// `POST /settings/account/alert`: of the balance that is looked at.
pub(super) async fn set_alert(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Form(said): Form<Said>,
) -> Answer {
    match alerted(&site, &member, said.below.trim()).await {
        Ok(word) => Ok(done(PAGE, word)),
        Err(refused) => show(&site, &member, None, Some(("alert", refused.told()?))).await,
    }
}

async fn alerted(
    site: &Arc<Site>,
    member: &Member<Manages>,
    below: &str,
) -> Result<&'static str, Refused> {
    let wrong = || {
        let told =
            "Write a number of credits above 0, with six decimal places at most; or nothing.";
        sign::field("below", told)
    };
    let below = if below.is_empty() {
        None
    } else {
        let amount = Micros::parse_credits(below).map_err(|_| wrong())?.get();
        Some(
            Some(amount)
                .filter(|amount| *amount > 0)
                .ok_or_else(wrong)?,
        )
    };
    let request = SetAlertRequest {
        context: Some(member.context()),
        below,
    };
    let asked = site.peers.ask(request);
    site.peers.billing.clone().set_alert(asked).await?;
    Ok(if below.is_some() { "alert" } else { "quiet" })
}

/// `POST /settings/you/account`: looks at another account.
pub(super) async fn switch(
    State(site): State<Arc<Site>>,
    member: Member,
    Form(said): Form<Said>,
) -> Answer {
    let account = Id::parse(&said.account).ok_or_else(Refused::not_found)?;
    let (here, mode) = (member.session, member.view().mode);
    let write = site
        .db
        .write(move |connection| Box::pin(session::look_at(connection, here, (account, mode))));
    if !write.await? {
        return Err(Refused::not_found());
    }
    Ok(Redirect::to("/home").into_response())
}

// === impl Html ===

impl Html<'_> {
    fn told(&self, form: &str) -> Option<&str> {
        told(self.wrong, form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_their_unit() {
        for (seconds, told) in [
            (0, "as long as everybody's here"),
            (DAY, "1 day"),
            (14 * DAY, "14 days"),
            (90, "2 minutes"),
        ] {
            assert_eq!(span(seconds), told);
        }
    }
}
