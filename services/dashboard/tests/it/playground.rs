//! The playground: who may use it, and what it says without its script.

use http::{Request, StatusCode, request::Builder};

use crate::site::{Reply, Site};

/// A request of a page of ours.
fn own(builder: Builder, cookie: &str) -> Builder {
    builder
        .header("cookie", cookie)
        .header("sec-fetch-site", "same-origin")
}

async fn look(site: &Site, path: &str, cookie: &str) -> Reply {
    site.send(own(Request::get(path), cookie)).await
}

#[tokio::test]
async fn who_only_looks_gets_no_key_and_is_told() {
    let site = Site::new().await;
    let viewer = site.signed_in("viewer").await;
    let refused = site
        .send(own(Request::post("/playground/key"), &viewer))
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let page = look(&site, "/playground/z-image", &viewer).await;
    assert_eq!(page.status, StatusCode::OK);
    let sentence = "You may look at this account and not spend its credit.";
    assert!(page.text().contains(sentence));
    assert!(page.text().contains("data-may=\"false\""));
    // A member's key is billing's to make, which is away here.
    let member = site.signed_in("member").await;
    let asked = site
        .send(own(Request::post("/playground/key"), &member))
        .await;
    assert_eq!(asked.status, StatusCode::SERVICE_UNAVAILABLE);
    let page = look(&site, "/playground/z-image", &member).await;
    assert!(!page.text().contains(sentence));
    // And nobody's is nobody's.
    let nobody = Request::post("/playground/key").header("sec-fetch-site", "same-origin");
    assert_eq!(site.send(nobody).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn without_a_script_a_form_says_its_price_and_sends_no_text() {
    let site = Site::new().await;
    let member = site.signed_in("member").await;
    let path = "/playground/kling-3?mode=pro&sound=false&sound=true&duration=7";
    let page = look(&site, path, &member).await.text();
    assert!(page.contains(">560 credits</output>"), "{page}");
    assert!(page.contains("<option selected>pro</option>"));
    assert!(page.contains("Running a model here needs JavaScript"));
    // What has a name is sent with the address.
    assert!(page.contains("name=\"duration\""));
    assert!(!page.contains("name=\"prompt\""));
    let silent = look(&site, "/playground/kling-3?sound=false", &member).await;
    assert!(silent.text().contains(">200 credits</output>"));
    let refused = look(&site, "/playground/kling-3?duration=99", &member).await;
    assert!(refused.text().contains("duration must be"));
    let speech = look(&site, "/playground/elevenlabs-v3?characters=1000", &member).await;
    assert!(speech.text().contains(">28 credits</output>"));
}

#[tokio::test]
async fn other_names_of_a_model_lead_to_its_own() {
    let site = Site::new().await;
    let member = site.signed_in("member").await;
    let reply = look(&site, "/playground/imagen4-ultra", &member).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    assert_eq!(reply.header("location"), "/playground/imagen-4");
    let lost = look(&site, "/playground/nothing", &member).await;
    assert_eq!(lost.status, StatusCode::NOT_FOUND);
}
