//! `/operator/codes`: redeem codes: made, shown once, listed and revoked.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Query, State},
    response::{IntoResponse as _, Redirect},
};
use domain::{Mode, RedeemCodeId, ids};
use http::StatusCode;
use proto::{
    billing::v1::{
        CreateRedeemCodesRequest, ListRedeemCodesRequest, RedeemCode, RevokeRedeemCodeRequest,
    },
    mode_to_wire,
};
use serde::Deserialize;

use super::{
    Cell, PART, Table, Tabs,
    account::{amount, end_of, mode_of},
    bytes, href, id_of, maybe_id, moment, now,
    providers::mode_word,
};
use crate::{
    Site,
    app::Frame,
    page::Page,
    refused::{Answer, Refusal, Refused},
    show::{self, Pager},
    who::{Member, Operates},
};

/// Where the page is.
const PATH: &str = "/operator/codes";

/// What a link to the page says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    said: String,
    before: String,
}

/// Codes that are wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    count: String,
    credits: String,
    mode: String,
    uses: String,
    expires: String,
}

/// A code that is to open nothing any more.
#[derive(Deserialize)]
pub(crate) struct Revoked {
    code: String,
}

#[derive(Template)]
#[template(path = "app/operator/codes.html")]
struct Html<'s> {
    frame: Frame<'s>,
    tabs: Tabs,
    wanted: &'s Wanted,
    wrong: Option<&'s Refusal>,
    /// What was just made: shown this once.
    made: &'s [String],
    table: Table,
    /// Those that can be revoked: id, and name.
    open: Vec<(String, String)>,
    pager: Pager,
}

/// The page.
pub(crate) async fn page(
    State(site): State<Arc<Site>>,
    member: Member<Operates>,
    Query(asked): Query<Asked>,
) -> Answer {
    let wanted = Wanted {
        count: "1".to_owned(),
        uses: "1".to_owned(),
        mode: "live".to_owned(),
        ..Wanted::default()
    };
    show(&site, &member, &asked, (&wanted, &[], None)).await
}

/// Makes codes, and shows them.
pub(crate) async fn make(
    State(site): State<Arc<Site>>,
    member: Member<Operates>,
    Form(wanted): Form<Wanted>,
) -> Answer {
    let asked = Asked::default();
    match create(&site, &member, &wanted).await {
        Ok(made) => show(&site, &member, &asked, (&wanted, &made, None)).await,
        Err(refused) => {
            let wrong = refused.told()?;
            show(&site, &member, &asked, (&wanted, &[], Some(&wrong))).await
        }
    }
}

async fn create(
    site: &Site,
    member: &Member<Operates>,
    wanted: &Wanted,
) -> Result<Vec<String>, Refused> {
    let request = CreateRedeemCodesRequest {
        count: number("count", &wanted.count)?,
        credits: amount(&wanted.credits)?.get(),
        mode: mode_to_wire(mode_of(&wanted.mode)?).into(),
        max_uses: number("uses", &wanted.uses)?,
        expires_at: end_of(&wanted.expires)?,
        by: Some(member.by()),
    };
    let mut orders = site.peers.orders.clone();
    let made = orders.create_redeem_codes(site.peers.ask(request)).await?;
    let made = made.into_inner().codes.into_iter();
    Ok(made.map(|code| code.text).collect())
}

/// Revokes one.
pub(crate) async fn revoke(
    State(site): State<Arc<Site>>,
    member: Member<Operates>,
    Form(said): Form<Revoked>,
) -> Answer {
    let code: RedeemCodeId = id_of(&said.code)?;
    let request = RevokeRedeemCodeRequest {
        code_id: code.to_vec().into(),
        by: Some(member.by()),
    };
    let mut orders = site.peers.orders.clone();
    orders.revoke_redeem_code(site.peers.ask(request)).await?;
    Ok(Redirect::to(&href(PATH, &[("said", "revoked")])).into_response())
}

async fn show(
    site: &Site,
    member: &Member<Operates>,
    asked: &Asked,
    (wanted, made, wrong): (&Wanted, &[String], Option<&Refusal>),
) -> Answer {
    let before = maybe_id::<ids::Code>(&asked.before)?;
    let request = ListRedeemCodesRequest {
        limit: site.config.operator.rows,
        before: bytes(before).into(),
    };
    let mut orders = site.peers.orders.clone();
    let codes = orders.list_redeem_codes(site.peers.ask(request)).await?;
    let codes = codes.into_inner().codes;
    let full = u32::try_from(codes.len()).is_ok_and(|count| count >= site.config.operator.rows);
    let last = codes.last().filter(|_| full);
    let last = last.and_then(|code| RedeemCodeId::from_slice(&code.code_id));
    let said = (asked.said == "revoked").then_some("The code is revoked.");
    let open = codes.iter().filter(|code| is_open(code));
    let open = open.filter_map(|code| {
        let id = RedeemCodeId::from_slice(&code.code_id)?;
        let name = format!(
            "…{}, {} credits",
            code.last_four,
            show::credits(code.credits)
        );
        Some((id.to_string(), name))
    });
    let columns = [
        "Code", "Mode", "#Credits", "#Used", "State", "Made", "Expires",
    ];
    let html = Html {
        frame: Frame::new(site, member, PART, "Redeem codes").saying(said),
        tabs: Tabs(PATH),
        wanted,
        wrong,
        made,
        open: open.collect(),
        table: Table::new("Redeem codes", &columns)
            .or("No code was made yet.")
            .with(codes.iter().map(row)),
        pager: Pager {
            first: before.map(|_| PATH.to_owned()),
            older: last.map(|last| href(PATH, &[("before", &last.to_string())])),
        },
    };
    let status = wrong.map_or(StatusCode::OK, |wrong| wrong.status);
    Ok(Page::html(&html).with(status).into_response())
}

fn is_open(code: &RedeemCode) -> bool {
    let expired = code.expires_at > 0 && code.expires_at <= now();
    code.revoked_at == 0 && code.uses < code.max_uses && !expired
}

fn row(code: &RedeemCode) -> Vec<Cell> {
    let state = if code.revoked_at > 0 {
        Cell::badge("bad", "revoked")
    } else if code.uses >= code.max_uses {
        Cell::badge("", "used up")
    } else if is_open(code) {
        Cell::badge("good", "open")
    } else {
        Cell::badge("", "expired")
    };
    let id = RedeemCodeId::from_slice(&code.code_id);
    vec![
        Cell::text(format!("…{}", code.last_four))
            .over(id.map(|id| id.to_string()).unwrap_or_default()),
        Cell::text(mode_word(code.mode)),
        Cell::text(show::credits(code.credits)),
        Cell::text(format!("{} of {}", code.uses, code.max_uses)),
        state,
        Cell::time(code.created_at),
        moment(code.expires_at),
    ]
}

fn number(name: &str, text: &str) -> Result<u32, Refused> {
    let number = text.trim().parse::<u32>().ok().filter(|number| *number > 0);
    let told = format!("{name} is a whole number from 1 on.");
    number.ok_or_else(|| Refused::new(StatusCode::BAD_REQUEST, told).of(name))
}

// === impl Wanted ===

impl Wanted {
    /// Whether codes of this mode are wanted.
    fn is_of(&self, mode: Mode) -> bool {
        self.mode == mode.as_str()
    }
}
