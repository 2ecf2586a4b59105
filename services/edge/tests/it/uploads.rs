//! Files that customers upload: OpenAI's shapes, what is wrong with a form, and that bytes go on as they come.

use bytes::Bytes;
use domain::{FileId, Mode, Scope, ids};
use futures::stream;
use proto::mode_to_wire;
use reqwest::{Body, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    fake_files::REFUSED,
    house::{House, read, refusal, until},
};

/// A form's field.
pub(crate) fn field(name: &str, value: &str) -> String {
    format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

/// The field that is the file.
pub(crate) fn file(filename: &str, content: &str) -> String {
    let head = format!("content-disposition: form-data; name=\"file\"; filename=\"{filename}\"");
    format!("--b\r\n{head}\r\ncontent-type: image/jpeg\r\n\r\n{content}\r\n")
}

const KIND: &str = "multipart/form-data; boundary=b";

fn upload(house: &House, fields: &[String]) -> RequestBuilder {
    let body = format!("{}--b--\r\n", fields.concat());
    house
        .post("/api/v1/files", &house.usual_key(), body)
        .header("content-type", KIND)
}

#[tokio::test]
async fn a_file_is_shown_as_openai_shows_it() {
    let house = House::start().await;
    let fields = [
        field("purpose", "user_data"),
        field("expires_after[anchor]", "created_at"),
        field("expires_after[seconds]", "3600"),
        file("a b.txt", "hello\r\n--c"),
    ];
    let (status, made) = read(upload(&house, &fields)).await;
    let id = made["id"].as_str().unwrap().to_owned();
    assert!(FileId::parse(&id).is_some(), "{id}");
    let expected = json!({
        "id": id, "object": "file", "bytes": 10, "created_at": 5, "expires_at": 3605, "filename": "a b.txt",
        "purpose": "user_data", "status": "processed", "content_type": "text/plain",
    });
    assert_eq!((status, &made), (200, &expected));
    {
        let shelf = house.files.shelf();
        assert_eq!(shelf.ends[0].expires_after, 3600);
        // Of a form whose length is known, the file is a part.
        assert!(shelf.heads[0].most_bytes > 10);
    }
    // The other way round, as some SDKs send it.
    let fields = [file("b", "x"), field("purpose", "vision")];
    let (status, other) = read(upload(&house, &fields)).await;
    assert_eq!((status, &other["purpose"]), (200, &json!("vision")));
    assert_eq!(house.files.shelf().ends[1].expires_after, 0);

    let key = house.usual_key();
    let get = |path: &str| house.get(&format!("/v1/files{path}"), &key);
    assert_eq!(read(get(&format!("/{id}"))).await, (200, expected.clone()));
    let all = json!({ "object": "list", "data": [other, made], "first_id": other["id"], "last_id": id, "has_more": false });
    assert_eq!(read(get("")).await, (200, all));
    let (_, page) = read(get("?limit=1&order=asc")).await;
    assert_eq!(
        (&page["data"], &page["has_more"]),
        (&json!([made]), &json!(true))
    );
    let (_, page) = read(get(&format!("?limit=1&order=asc&after={id}"))).await;
    assert_eq!(
        (&page["data"], &page["has_more"]),
        (&json!([other]), &json!(false))
    );
    let (_, page) = read(get("?purpose=batch")).await;
    assert_eq!(
        page,
        json!({ "object": "list", "data": [], "first_id": null, "last_id": null, "has_more": false })
    );
    let (status, wrong) = read(get("?limit=0&order=up&after=x&purpose=x&colour=red")).await;
    assert_eq!(
        (
            status,
            wrong["error"]["violations"].as_array().unwrap().len()
        ),
        (400, 5)
    );

    let content = get(&format!("/{id}/content")).send().await.unwrap();
    assert_eq!(content.headers()["content-type"], "text/plain");
    assert_eq!(content.headers()["x-content-type-options"], "nosniff");
    assert_eq!(content.text().await.unwrap(), "hello\r\n--c");
    let part = get(&format!("/{id}/content")).header("range", "bytes=1-3");
    let part = part.send().await.unwrap();
    assert_eq!(
        (part.status().as_u16(), part.text().await.unwrap().as_str()),
        (206, "ell")
    );

    let path = format!("/v1/files/{id}");
    let delete = || house.request(Method::DELETE, &path).bearer_auth(&key);
    let gone = json!({ "id": id, "object": "file", "deleted": true });
    assert_eq!(read(delete()).await, (200, gone));
    assert_eq!(refusal(delete()).await, (404, "not_found".to_owned()));
}

#[tokio::test]
async fn what_is_wrong_with_a_form_is_said() {
    let house = House::start().await;
    let good = || vec![field("purpose", "vision"), file("a", "x")];
    let with = |more: &[(&str, &str)]| {
        let more = more.iter().map(|(name, value)| field(name, value));
        [more.collect(), good()].concat()
    };
    let (anchor, seconds) = ("expires_after[anchor]", "expires_after[seconds]");
    let long = "x".repeat(5000);
    let (missing, invalid) = ("missing_parameter", "invalid_parameter");
    for (fields, code, param) in [
        (vec![], missing, "file"),
        (vec![field("purpose", "vision")], missing, "file"),
        (vec![file("a", "x")], missing, "purpose"),
        (
            vec![field("purpose", "fun"), file("a", "x")],
            invalid,
            "purpose",
        ),
        (
            vec![field("purpose", &long), file("a", "x")],
            invalid,
            "purpose",
        ),
        (vec![field("file", "x")], invalid, "file"),
        (vec![file(&long, "x")], invalid, "file"),
        ([good(), vec![file("a", "x")]].concat(), invalid, "file"),
        (with(&[("purpose", "vision")]), invalid, "purpose"),
        (
            with(&[(anchor, "created_at"), (anchor, "created_at")]),
            invalid,
            anchor,
        ),
        (
            with(&[(seconds, "3600"), (seconds, "3600")]),
            invalid,
            seconds,
        ),
        (with(&[("colour", "red")]), "unknown_parameter", "colour"),
        (with(&[(anchor, "created_at")]), missing, seconds),
        (with(&[(seconds, "3600")]), missing, anchor),
        (with(&[(anchor, "now"), (seconds, "3600")]), invalid, anchor),
        (
            with(&[(anchor, "created_at"), (seconds, "soon")]),
            invalid,
            seconds,
        ),
        (
            with(&[(anchor, "created_at"), (seconds, "0")]),
            invalid,
            seconds,
        ),
    ] {
        let (status, body) = read(upload(&house, &fields)).await;
        let error = &body["error"];
        assert_eq!(
            (status, &error["code"], &error["param"]),
            (400, &json!(code), &json!(param)),
            "{fields:?}: {error}"
        );
    }
    assert!(house.files.shelf().ends.is_empty(), "nothing of it is kept");
}

#[tokio::test]
async fn what_is_no_form_or_has_no_end_is_refused() {
    let house = House::start().await;
    let open = house
        .post("/v1/files", &house.usual_key(), file("a", "x"))
        .header("content-type", KIND);
    assert_eq!(refusal(open).await, (400, "invalid_parameter".to_owned()));
    for kind in ["application/json", "multipart/form-data"] {
        let request = house
            .post("/v1/files", &house.usual_key(), "{}")
            .header("content-type", kind);
        let (status, body) = read(request).await;
        assert_eq!(
            (status, &body["error"]["param"]),
            (400, &json!("Content-Type"))
        );
    }
    assert!(house.files.shelf().ends.is_empty(), "nothing of it is kept");
}

#[tokio::test]
async fn a_body_has_its_limit_and_a_refusal_is_read() {
    let house = House::with("[limits.bodies]\nupload = 20000").await;
    let long = [field("purpose", "vision"), file("a", &"x".repeat(30_000))];
    let large = (413, "body_too_large".to_owned());
    assert_eq!(refusal(upload(&house, &long)).await, large);
    assert!(house.files.shelf().heads.is_empty(), "its head said so");
    let pieces = format!("{}--b--\r\n", long.concat());
    let pieces: Vec<_> = pieces
        .as_bytes()
        .chunks(1000)
        .map(Bytes::copy_from_slice)
        .collect();
    let pieces = stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
    let chunked = house
        .request(Method::POST, "/v1/files")
        .bearer_auth(house.usual_key())
        .header("content-type", KIND)
        .body(Body::wrap_stream(pieces));
    assert_eq!(refusal(chunked).await, large);
    until("media gives it up", async || house.files.shelf().cut == 1).await;
    // Media says no while the customer is still sending.
    let house = House::start().await;
    let refused = [
        file(REFUSED, &"x".repeat(3_000_000)),
        field("purpose", "vision"),
    ];
    let full = (409, "file_room_full".to_owned());
    assert_eq!(refusal(upload(&house, &refused)).await, full);
}

/// A request whose body the test sends piece by piece.
fn by_hand(house: &House) -> (RequestBuilder, mpsc::Sender<Bytes>) {
    let (sender, receiver) = mpsc::channel::<Bytes>(9);
    let pieces = stream::unfold(receiver, |mut receiver| async {
        let piece = receiver.recv().await?;
        Some((Ok::<_, std::io::Error>(piece), receiver))
    });
    let request = house
        .request(Method::POST, "/v1/files")
        .bearer_auth(house.usual_key())
        .header("content-type", KIND)
        .body(Body::wrap_stream(pieces));
    (request, sender)
}

#[tokio::test]
async fn bytes_go_on_as_they_come() {
    let house = House::start().await;
    let (request, pieces) = by_hand(&house);
    let lead = async {
        let begin = file("a", &"x".repeat(100_000));
        pieces
            .send(begin.trim_end().to_owned().into())
            .await
            .unwrap();
        // What may be the beginning of the boundary is not known to be the file's yet.
        until("its first bytes are there", async || {
            house.files.shelf().bytes > 90_000
        })
        .await;
        let end = format!("\r\n{}--b--\r\n", field("purpose", "batch"));
        pieces.send(end.into()).await.unwrap();
        drop(pieces);
    };
    let ((status, made), ()) = tokio::join!(read(request), lead);
    assert_eq!((status, &made["bytes"]), (200, &json!(100_000)));
    assert_eq!(house.files.shelf().heads[0].most_bytes, 0);
}

#[tokio::test]
async fn a_customer_who_leaves_leaves_no_file() {
    let house = House::start().await;
    let (request, pieces) = by_hand(&house);
    let lead = async {
        pieces.send(file("a", "x").into()).await.unwrap();
        until("it has begun", async || {
            house.files.shelf().heads.len() == 1
        })
        .await;
    };
    tokio::select! {
        answer = request.send() => panic!("{answer:?}"),
        () = lead => {}
    }
    drop(pieces);
    until("media knows", async || house.files.shelf().cut == 1).await;
    assert!(house.files.shelf().ends.is_empty());
}

#[tokio::test]
async fn a_silent_customer_is_not_waited_for() {
    let house = House::with("[limits.bodies]\ntimeout = '100ms'\ndiscard_time = '50ms'").await;
    let (request, pieces) = by_hand(&house);
    pieces.send(file("a", "x").into()).await.unwrap();
    assert_eq!(refusal(request).await, (504, "request_timeout".to_owned()));
    drop(pieces);
}

#[tokio::test]
async fn a_file_that_takes_too_long_is_given_up_however_patient_each_part_is() {
    let house = House::with(
        "[limits.bodies]\ntimeout = '10m'\nupload_timeout = '200ms'\ndiscard_time = '50ms'",
    )
    .await;
    let (request, pieces) = by_hand(&house);
    pieces.send(file("a", "x").into()).await.unwrap();
    assert_eq!(refusal(request).await, (504, "request_timeout".to_owned()));
    until("media gives it up", async || house.files.shelf().cut == 1).await;
    drop(pieces);
}

#[tokio::test]
async fn another_tenants_file_and_an_unknown_one_are_the_same() {
    let house = House::start().await;
    let mine = house.file();
    let all = [Scope::Inference, Scope::Read];
    let stranger = house
        .key_with(&all, |identity| identity.account_id = vec![1; 16].into())
        .0;
    let live = house
        .key_with(&all, |identity| {
            identity.mode = mode_to_wire(Mode::Live).into();
        })
        .0;
    let unknown = chassis::mint::<ids::File>().to_string();
    for (method, rest) in [
        (Method::GET, ""),
        (Method::GET, "/content"),
        (Method::DELETE, ""),
    ] {
        let mut answers: Vec<(u16, Value)> = Vec::new();
        for (key, id) in [
            (&stranger, mine.as_str()),
            (&live, &mine),
            (&stranger, &unknown),
            (&stranger, "file_nonsense"),
            (&stranger, "%ff"),
        ] {
            let path = format!("/api/v1/files/{id}{rest}");
            let (status, mut body) =
                read(house.request(method.clone(), &path).bearer_auth(key)).await;
            body["error"]["request_id"].take();
            answers.push((status, body));
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "{method} {rest}: {answers:?}");
        assert_eq!(answers[0].0, 404);
    }
    assert_eq!(
        read(house.get("/v1/files", &stranger)).await.1["data"],
        json!([])
    );
}
