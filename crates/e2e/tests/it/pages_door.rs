//! Who comes in: signing up, in and out, sessions, limits, operators' links, members, letters, and an account's end.

mod letters;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Aio, Browser, WebPage, eventually};

use crate::say::chat;

const PASSWORD: &str = "a sentence is good";
const OTHER: &str = "another sentence is good";

/// Whether somebody is signed in.
async fn is_in(web: &mut Browser) -> Result<bool> {
    let page = web.get("/home").await?;
    Ok(match page.status {
        200 => true,
        status => {
            ensure!(status == 303, "neither in nor out: {page}");
            false
        }
    })
}

/// What a link says behind `token=`.
fn token(link: &str) -> Result<&str> {
    let (_, token) = link.split_once("token=").context("no token")?;
    Ok(token
        .split(['"', '<', '\r', '\n', ' '])
        .next()
        .unwrap_or(token))
}

#[tokio::test]
async fn people_come_in_by_what_they_know_and_as_often_as_is_good() -> Result<()> {
    let mut aio = Aio::with(&[
        ("AIO_LIMITS__DOOR__ADDRESS_PER_MINUTE", "3"),
        ("AIO_LIMITS__DOOR__NETWORK_PER_MINUTE", "1000"),
        ("AIO_LIMITS__DOOR__SIGN_UPS_PER_HOUR", "0"),
        ("AIO_LIMITS__DOOR__SIGN_UPS_PER_DAY", "8"),
    ])
    .await?;
    let mut ann = aio.browser().await?;
    let page = ann.sign_up("Ann", "Ann@example.com", PASSWORD).await?;
    assert_eq!(page.path, "/home");
    strangers_learn_nothing(&mut aio).await?;
    nobody_goes_on_as_somebody_else(&mut ann).await?;
    sessions_are_ended(&mut aio, &mut ann).await?;
    sign_ups_are_counted(&mut aio).await?;
    tries_are_counted(&mut aio).await?;
    links_of_operators_work_once(&mut aio, &mut ann).await?;
    aio.finish().await
}

/// An address that nobody has and a wrong password are answered alike.
async fn strangers_learn_nothing(aio: &mut Aio) -> Result<()> {
    let mut web = aio.browser().await?;
    let mut answers = Vec::new();
    for email in ["ann@example.com", "nobody@example.com"] {
        let fields = [("email", email), ("password", OTHER)];
        let page = web.post("/sign-in", &fields).await?;
        assert_eq!(page.status, 401, "{page}");
        assert!(page.has("do not belong together"), "{page}");
        answers.push(page.shown());
        assert!(!is_in(&mut web).await?);
    }
    assert_eq!(answers[0], answers[1]);
    Ok(())
}

/// Each sign-in has a secret of its own, and ends what the browser was before.
async fn nobody_goes_on_as_somebody_else(ann: &mut Browser) -> Result<()> {
    let mut before = ann.clone();
    ann.sign_in("ann@example.com", PASSWORD).await?;
    assert_ne!(before.cookie(), ann.cookie());
    assert!(is_in(ann).await? && !is_in(&mut before).await?);
    let mut copy = ann.clone();
    ann.post("/sign-out", &[]).await?;
    assert!(!is_in(ann).await? && !is_in(&mut copy).await?);
    let page = ann.get("/keys?x=1").await?;
    assert_eq!(page.header("location"), "/sign-in?next=%2Fkeys%3Fx%3D1");
    ann.sign_in("ann@example.com", PASSWORD).await?;
    Ok(())
}

async fn sessions_are_ended(aio: &mut Aio, ann: &mut Browser) -> Result<()> {
    let mut phone = aio.browser().await?;
    phone.sign_in("ann@example.com", PASSWORD).await?;
    let page = ann.get("/settings").await?;
    let other = page.field("session").context("no other session")?;
    let ended = ann
        .post("/settings/you/sessions", &[("session", &other)])
        .await?;
    assert!(ended.has("The session is ended."), "{ended}");
    assert!(is_in(ann).await? && !is_in(&mut phone).await?);
    let again = ann
        .post("/settings/you/sessions", &[("session", &other)])
        .await?;
    assert_eq!(again.status, 404);
    // Another password ends all others, and this one goes on by a new secret.
    phone.sign_in("ann@example.com", PASSWORD).await?;
    let change = |old| [("password", old), ("new_password", OTHER)];
    let page = ann.post("/settings/you/password", &change(OTHER)).await?;
    assert_eq!(page.status, 400);
    assert!(page.has("This is not your password."), "{page}");
    let mut before = ann.clone();
    let page = ann
        .post("/settings/you/password", &change(PASSWORD))
        .await?;
    assert!(page.has("The password is changed"), "{page}");
    assert!(is_in(ann).await? && !is_in(&mut phone).await? && !is_in(&mut before).await?);
    let fields = [("email", "ann@example.com"), ("password", PASSWORD)];
    assert_eq!(phone.post("/sign-in", &fields).await?.status, 401);
    Ok(())
}

/// Of many who sign up with one address at once, one does; and no more than are allowed come out of one network.
async fn sign_ups_are_counted(aio: &mut Aio) -> Result<()> {
    let page = |email: &'static str, mut web: Browser| async move {
        let fields = [("name", "Bob"), ("email", email), ("password", PASSWORD)];
        web.post("/sign-up", &fields).await
    };
    let web = aio.browser().await?;
    let storm = (0..5).map(|_| page("bob@example.com", web.clone()));
    let storm: Vec<WebPage> = futures::future::try_join_all(storm).await?;
    let (came, taken): (Vec<_>, Vec<_>) = storm.iter().partition(|page| page.status == 200);
    assert_eq!((came.len(), taken.len()), (1, 4));
    assert!(
        taken
            .iter()
            .all(|page| page.status == 400 && page.has("signed up with this address"))
    );
    let accounts = aio.admin().get("/admin/accounts").await?.data(200)?;
    let accounts = accounts["items"].as_array().context("no accounts")?;
    let named = accounts.iter().filter(|account| account["name"] == "Bob");
    assert_eq!(named.count(), 1, "{accounts:?}");
    // Ann, five for Bob, and two more: eight a day.
    for (email, status) in [
        ("carl@example.com", 200),
        ("ann@example.com", 400),
        ("dora@example.com", 429),
    ] {
        let page = page(email, web.clone()).await?;
        assert_eq!(page.status, status, "{email}: {page}");
        assert_eq!(page.header("retry-after").is_empty(), status != 429);
    }
    Ok(())
}

/// Whoever guesses passwords is kept waiting, even with the right one; nobody else is.
async fn tries_are_counted(aio: &mut Aio) -> Result<()> {
    let mut web = aio.browser().await?;
    let fields = |email| [("email", email), ("password", OTHER)];
    let refused = eventually("a limit of tries", async || {
        let page = web.post("/sign-in", &fields("bob@example.com")).await?;
        Ok((page.status == 429).then_some(page))
    });
    let refused = refused.await?;
    assert!(!refused.header("retry-after").is_empty());
    assert!(refused.has("tried too often"), "{refused}");
    let page = web.post("/sign-in", &fields("ann@example.com")).await?;
    assert_eq!(page.path, "/home", "her own tries are others");
    Ok(())
}

async fn links_of_operators_work_once(aio: &mut Aio, ann: &mut Browser) -> Result<()> {
    let link = async |more: &[&str]| -> Result<String> {
        let words = [&["accounts", "sign-in-link"][..], more].concat();
        let output = aio.command(&words).await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(token(&text)?.to_owned())
    };
    let operators = link(&[]).await?;
    let anns = link(&["--email", "Ann@example.com"]).await?;
    let mut web = aio.browser().await?;
    let shown = web
        .get(&format!("/sign-in/first?token={operators}"))
        .await?;
    assert_eq!(shown.status, 200);
    assert!(
        !is_in(&mut web).await?,
        "to look at a link is not to use it"
    );
    let page = web.post("/sign-in/first", &[("token", &operators)]).await?;
    assert!(page.has("signed in as an operator"), "{page}");
    assert!(page.text.contains("href=\"/operator\""));
    let again = web.post("/sign-in/first", &[("token", &operators)]).await?;
    assert_eq!(again.status, 410);
    // The other one sets a new password, and signs her browsers out.
    let page = web.post("/sign-in/first", &[("token", &anns)]).await?;
    let reset = token(&page.path)?.to_owned();
    let fields = [("token", reset.as_str()), ("password", PASSWORD)];
    let page = web.post("/reset", &fields).await?;
    assert_eq!(page.path, "/home", "{page}");
    assert!(!is_in(ann).await?);
    assert_eq!(web.post("/reset", &fields).await?.status, 410);
    assert_eq!(
        web.post("/sign-in/first", &[("token", &anns)])
            .await?
            .status,
        410
    );
    Ok(())
}

#[tokio::test]
async fn owners_say_who_may_use_an_account_and_when_it_ends() -> Result<()> {
    let mut aio = Aio::start().await?;
    let (mut ann, mut bob, mut eve) = (
        aio.browser().await?,
        aio.browser().await?,
        aio.browser().await?,
    );
    ann.sign_up("Ann", "ann@example.com", PASSWORD).await?;
    eve.sign_up("Eve", "eve@example.com", PASSWORD).await?;
    let invite = [("email", "bob@example.com"), ("role", "member")];
    let page = ann.post("/settings/members/invite", &invite).await?;
    assert_eq!(page.status, 200, "{page}");
    let secret = token(&page.text)?.to_owned();
    let id = page.field("invite").context("no invitation")?;
    // Another's invitation is nobody's, by its id as by its link.
    let page = eve
        .post("/settings/members/uninvite", &[("invite", &id)])
        .await?;
    assert_eq!(page.status, 404);
    let page = eve.post("/invite", &[("token", &secret)]).await?;
    assert_eq!(page.status, 404, "{page}");
    let fields = [
        ("name", "Bob"),
        ("email", "bobby@example.com"),
        ("password", PASSWORD),
        ("invite", secret.as_str()),
    ];
    assert_eq!(bob.post("/sign-up", &fields).await?.status, 400);
    let page = bob.get(&format!("/sign-up?invite={secret}")).await?;
    assert_eq!(page.field("email").as_deref(), Some("bob@example.com"));
    let fields = [
        ("name", "Bob"),
        ("email", "bob@example.com"),
        ("password", PASSWORD),
        ("invite", secret.as_str()),
    ];
    let page = bob.post("/sign-up", &fields).await?;
    assert_eq!(page.path, "/home", "{page}");
    let page = bob.get("/settings/members").await?;
    assert!(
        page.has("ann@example.com") && page.has("bob@example.com"),
        "{page}"
    );
    assert_eq!(
        bob.get(&format!("/sign-up?invite={secret}")).await?.status,
        404,
        "once"
    );
    roles_are_kept(&mut ann, &mut bob).await?;
    eve_is_invited_too(&mut ann, &mut eve).await?;
    whoever_leaves_is_forgotten(&mut ann, &mut aio.browser().await?).await?;
    the_account_ends(&mut aio, &mut ann, &mut bob).await?;
    assert!(is_in(&mut eve).await?, "she has an account of her own");
    aio.finish().await
}

async fn roles_are_kept(ann: &mut Browser, bob: &mut Browser) -> Result<()> {
    let invite = [("email", "carl@example.com"), ("role", "owner")];
    let page = bob.post("/settings/members/invite", &invite).await?;
    assert_eq!(page.status, 403, "{page}");
    assert_eq!(
        bob.post("/settings/account/alert", &[("below", "5.5")])
            .await?
            .status,
        200
    );
    let page = bob.get("/settings/account").await?;
    assert_eq!(page.field("below").as_deref(), Some("5.5"));
    let page = ann.get("/settings/members").await?;
    // The first is herself.
    let ids: Vec<&str> = page
        .text
        .split("name=\"person\" value=\"")
        .skip(1)
        .collect();
    let ids: Vec<String> = ids
        .iter()
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect();
    let (own, bobs) = (&ids[0], &ids[1]);
    let page = ann
        .post(
            "/settings/members/role",
            &[("person", own), ("role", "viewer")],
        )
        .await?;
    assert_eq!(page.status, 409);
    assert!(page.has("An account has an owner at least."), "{page}");
    let page = ann.post("/settings/members/leave", &[]).await?;
    assert_eq!(page.status, 409);
    ann.post(
        "/settings/members/role",
        &[("person", bobs), ("role", "viewer")],
    )
    .await?;
    let page = bob
        .post("/settings/account/alert", &[("below", "1")])
        .await?;
    assert_eq!(page.status, 403, "at once: {page}");
    assert_eq!(bob.get("/settings/log").await?.status, 403);
    let page = ann.get("/settings/log").await?;
    for words in [
        "Invited bob@example.com",
        "Joined as member",
        "Made Bob viewer",
        "credits.alert",
    ] {
        assert!(page.has(words), "no {words}: {page}");
    }
    Ok(())
}

/// Whoever has an account already joins by a button, and looks at either.
async fn eve_is_invited_too(ann: &mut Browser, eve: &mut Browser) -> Result<()> {
    let invite = [("email", "eve@example.com"), ("role", "viewer")];
    let page = ann.post("/settings/members/invite", &invite).await?;
    let secret = token(&page.text)?.to_owned();
    let page = eve.get(&format!("/invite?token={secret}")).await?;
    assert!(page.has("is invited to use Ann as viewer"), "{page}");
    let page = eve.post("/invite", &[("token", &secret)]).await?;
    assert_eq!(page.path, "/home", "{page}");
    let page = eve.get("/settings/account").await?;
    let own = page.field("account").context("no other account")?;
    assert_eq!(
        eve.post("/settings/account/delete", &[("name", "Ann")])
            .await?
            .status,
        403
    );
    eve.post("/settings/you/account", &[("account", &own)])
        .await?;
    assert!(eve.get("/settings/account").await?.has("Eve"));
    Ok(())
}

async fn whoever_leaves_is_forgotten(ann: &mut Browser, dan: &mut Browser) -> Result<()> {
    for _ in 0..2 {
        let invite = [("email", "dan@example.com"), ("role", "member")];
        let page = ann.post("/settings/members/invite", &invite).await?;
        let secret = token(&page.text)?.to_owned();
        let fields = [
            ("name", "Dan"),
            ("email", "dan@example.com"),
            ("password", PASSWORD),
            ("invite", secret.as_str()),
        ];
        let page = dan.post("/sign-up", &fields).await?;
        assert_eq!(page.path, "/home", "he may come again: {page}");
        dan.post("/settings/members/leave", &[]).await?;
        assert!(!is_in(dan).await?);
    }
    Ok(())
}

async fn the_account_ends(aio: &mut Aio, ann: &mut Browser, bob: &mut Browser) -> Result<()> {
    let page = ann.get("/settings/account").await?;
    let account = page
        .text
        .split("<code>")
        .find(|rest| rest.starts_with("acct_"));
    let account = account
        .and_then(|rest| rest.split('<').next())
        .context("no id")?
        .to_owned();
    let key = json!({"name": "one", "mode": "test"});
    let key = aio
        .admin()
        .post(&format!("/admin/accounts/{account}/keys"), &key)
        .await?
        .data(201)?;
    let key = key["key"].as_str().context("no key")?.to_owned();
    let api = aio.api(Some(&key));
    api.post("/chat/completions", &chat("Hello"))
        .await?
        .json()?;
    let export = eventually("an operation in the export", async || {
        let file = ann.get("/settings/account/export").await?;
        ensure!(file.status == 200, "{file}");
        ensure!(!file.text.contains(&key), "the export has a secret");
        let export: Value = serde_json::from_str(&file.text)?;
        let any = export["operations"]
            .as_array()
            .is_some_and(|all| !all.is_empty());
        Ok(any.then_some(export))
    });
    let export = export.await?;
    assert_eq!(
        export["people"].as_array().map(Vec::len),
        Some(3),
        "{export}"
    );
    assert_eq!(export["keys"][0]["name"], "one", "{export}");
    assert_eq!(export["operations"][0]["model"], "gemini", "{export}");
    for (name, password, told) in [
        ("Anne", PASSWORD, "Write the account's name as it is shown."),
        ("Ann", OTHER, "This is not your password."),
    ] {
        let fields = [("name", name), ("password", password)];
        let page = ann.post("/settings/account/delete", &fields).await?;
        assert_eq!(page.status, 400);
        assert!(page.has(told), "{page}");
    }
    let fields = [("name", "Ann"), ("password", PASSWORD)];
    let page = ann.post("/settings/account/delete", &fields).await?;
    assert_eq!((page.status, page.path.as_str()), (200, "/"), "{page}");
    assert!(!is_in(ann).await? && !is_in(bob).await?);
    let fields = [("email", "bob@example.com"), ("password", PASSWORD)];
    assert_eq!(
        bob.post("/sign-in", &fields).await?.status,
        401,
        "he is forgotten"
    );
    api.everywhere("the key opens nothing", async || {
        Ok(api.get("/credits").await?.status == 401)
    })
    .await?;
    Ok(())
}
