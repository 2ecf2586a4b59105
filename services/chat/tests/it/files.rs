//! Files that customers uploaded: whatever a provider speaks, it gets their bytes and never their ids; what cannot be used is refused
//! before anything is held; and nothing is charged while media is away.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::Mode;
use proto::{Code, code, common::v1::Context};
use serde_json::{Value, json};

use crate::{
    app::{App, Collected},
    fake_files::Mood,
    gemini,
    provider::Reply,
};

const WHOLE: &str = include_str!("../fixtures/openai_whole.json");
const CLAUDE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-5-5",
    "content":[{"type":"text","text":"A fox."}],"stop_reason":"end_turn","usage":{"input_tokens":7,"output_tokens":2}}"#;
const PNG: &str = "image/png";
const PDF: &str = "application/pdf";

fn picture(url: &str) -> Value {
    json!({"type": "image_url", "image_url": {"url": url, "detail": "low"}})
}

fn document(id: &str) -> Value {
    json!({"type": "file", "file": {"file_id": id}})
}

fn asking(model: &str, parts: &[Value]) -> String {
    let text = json!({"type": "text", "text": "what is \u{e4} \"file_1\"?"});
    let parts: Vec<&Value> = std::iter::once(&text).chain(parts).collect();
    json!({"model": model, "messages": [{"role": "user", "content": parts}], "seed": 7}).to_string()
}

fn inline(kind: &str, bytes: &[u8]) -> String {
    format!("data:{kind};base64,{}", STANDARD.encode(bytes))
}

/// Bytes of every value, so many.
fn noise(length: usize) -> Vec<u8> {
    (0..=255).cycle().take(length).collect()
}

#[tokio::test]
async fn a_provider_that_speaks_openais_protocol_gets_data_urls() {
    let app = App::answering(Reply::whole(200, WHOLE)).await;
    let (long, short) = (noise(100_001), noise(7));
    let one = app.files.put("a.png", PNG, &long);
    let two = app.files.put("q \"\u{fc}\".pdf", PDF, &short);
    let named = json!({"type": "file", "file": {"filename": "b.pdf", "file_id": two}});
    let body = asking(
        "gemini",
        &[picture(&one), document(&two), named, picture(&one)],
    );
    let answer = app.collect(&body).await;
    assert!(answer.end().1 > 0);
    let sent = app.provider.asked()[0].body.clone();
    let file = |name: &str| json!({"type": "file", "file": {"filename": name, "file_data": inline(PDF, &short)}});
    let image = picture(&inline(PNG, &long));
    let expected = [
        image.clone(),
        file("q \"\u{fc}\".pdf"),
        file("b.pdf"),
        image,
    ];
    let mut expected: Value = serde_json::from_str(&asking("gemini-3-flash", &expected)).unwrap();
    expected["max_tokens"] = json!(8192);
    assert_eq!(serde_json::from_str::<Value>(&sent).unwrap(), expected);
    assert!(
        !sent.contains(&one) && !sent.contains(&two),
        "no id of ours leaves"
    );
    // However often a file is named.
    assert_eq!(app.files.shelf().looks, 2);
    assert_eq!(app.files.shelf().reads, 2);
    app.settled().await;
}

#[tokio::test]
async fn claude_and_gemini_get_them_in_their_own_words() {
    let bytes = noise(2000);
    let data = STANDARD.encode(&bytes);
    let app = App::native("").await;
    let (image, pdf) = (
        app.files.put("a", PNG, &bytes),
        app.files.put("a.pdf", PDF, &bytes),
    );
    let parts = [picture(&image), document(&pdf)];
    app.provider.will(Reply::whole(200, CLAUDE));
    app.collect(&asking("claude-sonnet-5-5", &parts)).await;
    let source = |kind: &str| json!({"type": "base64", "media_type": kind, "data": data});
    let said = app.provider.body()["messages"][0]["content"].clone();
    assert_eq!(said[1], json!({"type": "image", "source": source(PNG)}));
    assert_eq!(
        said[2],
        json!({"type": "document", "source": source(PDF), "title": "a.pdf"})
    );

    app.provider
        .will(gemini::whole(&gemini::text("A fox."), "STOP"));
    app.collect(&asking("gemini", &parts)).await;
    let inline = |kind: &str| json!({"inlineData": {"mimeType": kind, "data": data}});
    let asked = app.provider.asked();
    let said: Value = serde_json::from_str(&asked[1].body).unwrap();
    assert_eq!(said["contents"][0]["parts"][1], inline(PNG));
    assert_eq!(said["contents"][0]["parts"][2], inline(PDF));
    for asked in asked {
        assert!(!asked.body.contains(&image) && !asked.body.contains(&pdf));
    }
    app.settled().await;
}

#[tokio::test]
async fn a_file_is_held_for_as_if_its_bytes_had_been_sent_and_a_quote_reads_none() {
    let app = App::answering(Reply::whole(200, WHOLE)).await;
    let pdf = app.files.put("a.pdf", PDF, &noise(5000));
    let request = App::request(&asking("gemini", &[document(&pdf)]), Mode::Test, &[]);
    let quoted = app.quote(request.clone()).await.unwrap().max;
    assert_eq!(app.files.shelf().reads, 0);
    Collected::of(app.send(request).await.unwrap()).await;
    let held = app.billing.books().holds[0].amount;
    assert_eq!(held, quoted);
    let inline = json!({"type": "file", "file": {"filename": "a.pdf", "file_data": inline(PDF, &noise(5000))}});
    let request = App::request(&asking("gemini", &[inline]), Mode::Test, &[]);
    // A part is a part, however long it is.
    let as_bytes = app.quote(request).await.unwrap().max;
    assert_eq!(held, as_bytes);
    app.settled().await;
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_before_anything_is_held() {
    let settings = "[limits.inputs]\nmax_bytes = 1000\nmax_total_bytes = 1500\nmax_count = 3";
    let app = App::native(settings).await;
    let put = |kind: &str, length: usize| app.files.put("a", kind, &noise(length));
    let (image, pdf, text, long) = (
        put(PNG, 800),
        put(PDF, 10),
        put("text/plain", 9),
        put(PNG, 1001),
    );
    let unknown = domain::FileId::NIL.to_string();
    let (url, id) = (
        "messages[0].content[1].image_url.url",
        "messages[0].content[1].file.file_id",
    );
    for (parts, param, says) in [
        (
            vec![picture(&unknown)],
            url,
            "there is no file_00000000000000000000000000",
        ),
        (
            vec![document(&unknown)],
            id,
            "kept for this key's account and mode",
        ),
        (
            vec![picture(&pdf)],
            url,
            "must name a picture, and this file is of type application/pdf",
        ),
        (
            vec![document(&image)],
            id,
            "must name a PDF, and this file is of type image/png",
        ),
        (vec![document(&text)], id, "send text as text"),
        (vec![picture(&long)], url, "at most 1000 bytes"),
        (
            vec![picture(&image), picture(&image)],
            "messages",
            "at most 1500 bytes together",
        ),
        (vec![document(&pdf); 4], "messages", "at most 3 files"),
        (
            vec![picture("file_1")],
            url,
            "the id of a file of POST /files",
        ),
    ] {
        let body = asking("gemini", &parts);
        let request = App::request(&body, Mode::Test, &[]);
        for fault in [
            app.refused(&body).await,
            app.quote(request).await.unwrap_err(),
        ] {
            assert_eq!(fault.code, code::INVALID_PARAMETER);
            assert_eq!(fault.param.as_deref(), Some(param));
            assert!(fault.message.contains(says), "{}", fault.message);
        }
    }
    assert!(app.billing.books().holds.is_empty() && app.provider.asked().is_empty());
    app.settled().await;
}

#[tokio::test]
async fn all_that_is_wrong_is_told_together_and_what_a_model_does_not_take_by_a_quote() {
    let app = App::native("").await;
    let (image, pdf) = (
        app.files.put("a", PNG, &noise(9)),
        app.files.put("a", PDF, &noise(9)),
    );
    let fault = app
        .refused(&asking("gemini", &[picture(&pdf), document(&image)]))
        .await;
    assert_eq!(fault.violations.len(), 2);
    let gif = app.files.put("a", "image/gif", &noise(5));
    let request = App::request(&asking("gemini", &[picture(&gif)]), Mode::Test, &[]);
    assert_eq!(
        app.quote(request).await.unwrap_err().code,
        code::INVALID_PARAMETER
    );
    assert!(app.billing.books().holds.is_empty());
    let fault = app.refused(&asking("gemini", &[picture(&gif)])).await;
    assert_eq!(fault.code, code::INVALID_PARAMETER);
    assert!(app.provider.asked().is_empty());
    assert!(app.billing.books().charges().is_empty());
    app.settled().await;
}

#[tokio::test]
async fn while_media_is_away_nothing_is_charged() {
    let app = App::start().await;
    let image = app.files.put("a", PNG, &noise(3000));
    let body = asking("gemini", &[picture(&image)]);
    let unavailable = code::SERVICE_UNAVAILABLE;
    for (mood, expected, holds) in [
        (Mood::Away, unavailable, 0),
        (Mood::Forgetful, code::INVALID_PARAMETER, 1),
        (Mood::Broken, unavailable, 2),
        (Mood::Short, unavailable, 3),
    ] {
        app.files.shelf().mood = mood;
        let fault = app.refused(&body).await;
        assert_eq!(fault.code, expected, "{mood:?}");
        assert_eq!(
            fault.retry_after.is_some(),
            expected == unavailable,
            "{mood:?}"
        );
        assert!(!fault.message.contains("10.0.0.1"));
        assert_eq!(app.billing.books().holds.len(), holds, "{mood:?}");
    }
    // Who names no file does not notice.
    app.files.shelf().mood = Mood::Away;
    app.provider.will(Reply::whole(200, WHOLE));
    app.collect(&asking("gemini", &[])).await;
    assert_eq!(app.provider.asked().len(), 1);
    assert_eq!(app.billing.books().charges().len(), 1);
    app.settled().await;
}

#[tokio::test]
async fn so_many_requests_read_files_at_once_and_an_answer_is_not_waited_for() {
    let settings = "[limits.inputs]\nat_once = 1\ntimeout = '300ms'";
    let app = App::with(settings, crate::app::compatible()).await;
    let image = app.files.put("a", PNG, &noise(3000));
    let body = asking("gemini", &[picture(&image)]);
    app.provider.will(Reply::silence());
    let hanging = app.ask(&body);
    let others = async {
        crate::app::until("the first has its file", || app.provider.asked().len() == 1).await;
        app.provider.will(Reply::whole(200, WHOLE));
        app.collect(&body).await;
        app.files.shelf().mood = Mood::Silent;
        let refused = [app.refused(&body), app.refused(&body), app.refused(&body)];
        let codes: Vec<Code> = futures::future::join_all(refused)
            .await
            .into_iter()
            .inspect(|fault| assert!(fault.retry_after.is_some()))
            .map(|fault| fault.code)
            .collect();
        // One reads in vain; whoever has waited as long as it may take is sent away.
        for code in [code::SERVICE_UNAVAILABLE, code::OVERLOADED] {
            assert!(codes.contains(&code), "{codes:?}");
        }
    };
    tokio::select! {
        _ = hanging => panic!("nobody answers it"),
        () = others => {}
    }
    // Whoever has left or failed has given the place back.
    app.files.shelf().mood = Mood::Good;
    app.provider.will(Reply::whole(200, WHOLE));
    app.collect(&body).await;
    app.settled().await;
}

#[tokio::test]
async fn what_providers_let_wait_takes_no_more_memory_than_an_account_may_have() {
    // A quarter has room for two of these in base64.
    let settings =
        "[limits.inputs]\nmax_bytes = 3000\nmax_total_bytes = 3000\nmax_kept_bytes = 35000";
    let app = App::with(settings, crate::app::compatible()).await;
    let image = app.files.put("a", PNG, &noise(2900));
    let body = asking("gemini", &[picture(&image)]);
    let request = App::request(&body, Mode::Test, &[]);
    let send = || {
        app.send(proto::chat::v1::CompleteRequest {
            operation_id: chassis::mint::<domain::ids::Operation>().to_vec().into(),
            ..request.clone()
        })
    };
    app.provider.will(Reply::silence());
    app.provider.will(Reply::silence());
    let hanging = futures::future::join(send(), send());
    let others = async {
        crate::app::until("both have their file", || app.provider.asked().len() == 2).await;
        let fault = proto::Fault::from(send().await.unwrap_err());
        assert_eq!(fault.code, code::OVERLOADED);
        assert!(fault.retry_after.is_some());
        // Another account has a part of its own.
        app.provider.will(Reply::whole(200, WHOLE));
        app.collect(&body).await;
    };
    tokio::select! {
        _ = hanging => panic!("nobody answers them"),
        () = others => {}
    }
    app.settled().await;
}

#[tokio::test]
async fn an_answer_that_is_kept_for_its_key_outlives_the_file() {
    let app = App::answering(Reply::whole(200, WHOLE)).await;
    let image = app.files.put("a", PNG, &noise(30));
    let mut request = App::request(&asking("gemini", &[picture(&image)]), Mode::Test, &[]);
    request.idempotency_key = "k".to_owned();
    let send = async |context: Option<Context>| {
        let request = proto::chat::v1::CompleteRequest {
            operation_id: chassis::mint::<domain::ids::Operation>().to_vec().into(),
            context,
            ..request.clone()
        };
        Collected::of(app.send(request).await.unwrap()).await
    };
    let first = send(request.context.clone()).await;
    app.files.clear();
    let again = send(request.context.clone()).await;
    assert!(again.head.as_ref().unwrap().replayed);
    assert_eq!(again.end(), first.end());
    assert_eq!(
        (app.files.shelf().looks, app.provider.asked().len()),
        (1, 1)
    );
    // Another key is another request.
    request.idempotency_key = "other".to_owned();
    let fault = app.send(request.clone()).await.unwrap_err();
    assert_eq!(proto::Fault::from(fault).code, code::INVALID_PARAMETER);
    app.settled().await;
}

#[tokio::test]
async fn bytes_that_do_not_come_are_not_waited_for() {
    let settings = "[limits.inputs]\ntimeout = '100ms'";
    let app = App::with(settings, crate::app::compatible()).await;
    let image = app.files.put("a", PNG, &noise(3000));
    app.files.shelf().mood = Mood::Silent;
    let fault = app.refused(&asking("gemini", &[picture(&image)])).await;
    assert_eq!(fault.code, code::SERVICE_UNAVAILABLE);
    assert!(app.provider.asked().is_empty());
    app.settled().await;
}
