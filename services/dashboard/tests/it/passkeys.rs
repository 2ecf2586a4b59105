//! Passkeys, as devices and their browsers use them, and as those do who would like to come in by another's.

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::Value;
use testkit::Device;

use crate::site::{ORIGIN, Reply, Site};

/// A browser, by what it keeps.
struct Web<'s> {
    site: &'s Site,
    cookie: String,
}

// === impl Web ===

impl<'s> Web<'s> {
    fn new(site: &'s Site) -> Self {
        let cookie = String::new();
        Self { site, cookie }
    }

    /// Whoever is signed in as this.
    async fn of(site: &'s Site, role: &str) -> Self {
        let cookie = site.signed_in(role).await;
        Self { site, cookie }
    }

    /// Sends a form.
    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let request = Request::post(path)
            .header("sec-fetch-site", "same-origin")
            .header("cookie", &self.cookie)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form.finish()));
        self.site.answer(request.unwrap()).await
    }

    /// What the device of somebody who signs in is asked; it is known by a cookie.
    async fn asked(&mut self) -> Value {
        let reply = self.post("/sign-in/passkey/begin", &[]).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let kept = reply.header("set-cookie").split(';').next().unwrap();
        assert!(kept.starts_with("__Host-aio-passkey="), "{kept}");
        self.cookie = kept.to_owned();
        serde_json::from_str(&reply.text()).unwrap()
    }

    async fn sign_in(&self, said: &str) -> Reply {
        let fields = [("credential", said), ("next", "/keys")];
        self.post("/sign-in/passkey", &fields).await
    }

    /// What the device of somebody is asked who adds a passkey.
    async fn asked_for_one(&self) -> Reply {
        let fields = [("name", "any")];
        self.post("/settings/you/passkeys/begin", &fields).await
    }

    async fn add(&self, name: &str) -> Device {
        let options = serde_json::from_str(&self.asked_for_one().await.text()).unwrap();
        let (device, said) = Device::make(&options, ORIGIN).unwrap();
        let fields = [("name", name), ("credential", said.as_str())];
        let reply = self.post("/settings/you/passkeys", &fields).await;
        assert_eq!(reply.header("location"), "/settings?said=passkey");
        device
    }

    /// The settings, and the passkeys that stand there.
    async fn passkeys(&self) -> (String, Vec<String>) {
        let request = Request::get("/settings").header("cookie", &self.cookie);
        let page = self.site.send(request).await.text();
        let ids = page.split("name=\"passkey\" value=\"").skip(1);
        let ids = ids.map(|rest| rest.split('"').next().unwrap().to_owned());
        let ids = ids.collect();
        (page, ids)
    }

    async fn remove(&self, passkey: &str) -> Reply {
        let fields = [("passkey", passkey)];
        self.post("/settings/you/passkeys/remove", &fields).await
    }
}

/// Whether an answer lets somebody in.
fn is_in(reply: &Reply) -> bool {
    reply.status == StatusCode::SEE_OTHER && reply.header("location") == "/keys"
}

#[tokio::test]
async fn a_device_signs_its_person_in_and_nobody_twice_by_the_same() {
    let site = Site::new().await;
    let ann = Web::of(&site, "owner").await;
    let mut device = ann.add("Ann's phone").await;
    let (page, ids) = ann.passkeys().await;
    assert!(page.contains("Ann&#39;s phone") && page.contains("<td>never</td>"));
    assert_eq!(ids.len(), 1);
    let mut web = Web::new(&site);
    let said = device.sign(&web.asked().await, ORIGIN).unwrap();
    let reply = web.sign_in(&said).await;
    assert!(is_in(&reply), "{}", reply.text());
    let (page, _) = ann.passkeys().await;
    assert!(!page.contains("<td>never</td>"));
    // The same once more, by the same browser; and by one that was asked something else.
    assert_eq!(web.sign_in(&said).await.status, StatusCode::GONE);
    web.asked().await;
    assert_eq!(web.sign_in(&said).await.status, StatusCode::UNAUTHORIZED);
    // Of two who answer at once, one is let in.
    let said = device.sign(&web.asked().await, ORIGIN).unwrap();
    let (one, other) = tokio::join!(web.sign_in(&said), web.sign_in(&said));
    assert!(is_in(&one) != is_in(&other));
    let acts = site.acts().await;
    let acts: Vec<&str> = acts.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(acts, ["passkey.add", "person.passkey", "person.passkey"]);
}

#[tokio::test]
async fn what_a_device_did_not_sign_for_here_lets_nobody_in() {
    let site = Site::new().await;
    let (ann, bob) = (
        Web::of(&site, "owner").await,
        Web::of(&site, "member").await,
    );
    let mut device = ann.add("key").await;
    let bobs = bob.add("key").await;
    let (mut web, mut another) = (Web::new(&site), Web::new(&site));
    for (what, status) in [
        ("another site", StatusCode::UNAUTHORIZED),
        ("nobody knows who holds it", StatusCode::UNAUTHORIZED),
        ("another's handle", StatusCode::UNAUTHORIZED),
        ("another's passkey", StatusCode::UNAUTHORIZED),
        ("a passkey that nobody has", StatusCode::UNAUTHORIZED),
        ("another browser's", StatusCode::UNAUTHORIZED),
        ("nothing", StatusCode::BAD_REQUEST),
    ] {
        let options = web.asked().await;
        let others = another.asked().await;
        let (own, user) = (device.credential.clone(), device.user.clone());
        let origin = if what == "another site" {
            "https://evil.example"
        } else {
            ORIGIN
        };
        let mut asked = &options;
        match what {
            "nobody knows who holds it" => device.verifies = false,
            "another's handle" => device.user.clone_from(&bobs.user),
            "another's passkey" => device.credential.clone_from(&bobs.credential),
            "a passkey that nobody has" => device.credential = vec![9; 16],
            "another browser's" => asked = &others,
            _ => {}
        }
        let said = device.sign(asked, origin).unwrap();
        let said = if what == "nothing" { "" } else { &said };
        let reply = web.sign_in(said).await;
        assert_eq!(reply.status, status, "{what}: {}", reply.text());
        assert!(!reply.text().contains("/sign-out"), "{what}");
        (device.credential, device.user, device.verifies) = (own, user, true);
    }
    let said = device.sign(&web.asked().await, ORIGIN).unwrap();
    assert!(is_in(&web.sign_in(&said).await), "the device is good");
}

#[tokio::test]
async fn a_copy_of_a_device_is_refused_and_noted() {
    let site = Site::new().await;
    let mut device = Web::of(&site, "owner").await.add("Ann's key").await;
    let mut web = Web::new(&site);
    device.counter = 7;
    let said = device.sign(&web.asked().await, ORIGIN).unwrap();
    assert!(is_in(&web.sign_in(&said).await));
    // It has signed eight times: so often again, or less often, is a copy's.
    for (counter, copied) in [(3, true), (7, true), (8, false)] {
        device.counter = counter;
        let said = device.sign(&web.asked().await, ORIGIN).unwrap();
        let reply = web.sign_in(&said).await;
        assert_eq!(is_in(&reply), !copied, "{counter}: {}", reply.text());
        assert_eq!(reply.text().contains("may have been copied"), copied);
    }
    let noted = ("passkey.refused".to_owned(), "Ann's key".to_owned());
    assert!(site.acts().await.contains(&noted));
}

#[tokio::test]
async fn a_passkey_is_added_and_removed_by_its_person_alone() {
    let site = Site::with("limits.door.passkeys.most = 2").await;
    let (ann, bob) = (
        Web::of(&site, "owner").await,
        Web::of(&site, "member").await,
    );
    // What one session was asked, another does not answer; nor does the same one twice.
    let options = serde_json::from_str(&ann.asked_for_one().await.text()).unwrap();
    let (_, said) = Device::make(&options, ORIGIN).unwrap();
    let fields = [("name", "first"), ("credential", said.as_str())];
    for (web, status) in [
        (&bob, StatusCode::GONE),
        (&ann, StatusCode::SEE_OTHER),
        (&ann, StatusCode::GONE),
    ] {
        let reply = web.post("/settings/you/passkeys", &fields).await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
    let (_, ids) = ann.passkeys().await;
    assert_eq!(bob.remove(&ids[0]).await.status, StatusCode::NOT_FOUND);
    // Nobody here has a password.
    let reply = ann.remove(&ids[0]).await;
    assert_eq!(reply.status, StatusCode::CONFLICT);
    assert!(reply.text().contains("Set a password first."));
    let mut second = ann.add("second").await;
    let reply = ann.asked_for_one().await;
    assert_eq!(reply.status, StatusCode::CONFLICT);
    assert!(reply.text().contains("You may have 2 passkeys."));
    let (_, ids) = ann.passkeys().await;
    let reply = ann.remove(&ids[1]).await;
    assert_eq!(reply.header("location"), "/settings?said=no-passkey");
    let mut web = Web::new(&site);
    let said = second.sign(&web.asked().await, ORIGIN).unwrap();
    let reply = web.sign_in(&said).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert!(reply.text().contains("It may have been removed."));
}

#[tokio::test]
async fn devices_have_a_time_to_answer() {
    let site = Site::with("limits.door.passkeys.challenge = '0s'").await;
    let ann = Web::of(&site, "owner").await;
    let options = serde_json::from_str(&ann.asked_for_one().await.text()).unwrap();
    let (mut device, said) = Device::make(&options, ORIGIN).unwrap();
    let fields = [("name", "late"), ("credential", said.as_str())];
    let reply = ann.post("/settings/you/passkeys", &fields).await;
    assert_eq!(reply.status, StatusCode::GONE);
    let mut web = Web::new(&site);
    let said = device.sign(&web.asked().await, ORIGIN).unwrap();
    let reply = web.sign_in(&said).await;
    assert_eq!(reply.status, StatusCode::GONE);
    assert!(reply.text().contains("took too long"));
}
