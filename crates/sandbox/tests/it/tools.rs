//! Tools for pictures: what each provider takes, answers and refuses, in which words, and what it would bill.

use reqwest::{RequestBuilder, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

use crate::{App, PATIENCE};

const REMOVEBG: &str = "/removebg/v1.0/removebg";
const PHOTOROOM: &str = "/photoroom/v1/segment";
const SEGMIND: &str = "/segmind/v1/faceswap-v5";
const PIAPI: &str = "/piapi/api/v1/task";
const TOPAZ: &str = "/topaz/image/v1";
const AT_ONCE: [&str; 3] = [REMOVEBG, PHOTOROOM, SEGMIND];

/// A picture's address, with what shall happen to it.
fn fox(words: &str) -> String {
    format!("https://a.example/fox.png?[sandbox%20{words}]")
}

/// A form that is being written: RFC 7578.
#[derive(Default)]
struct Form(String);

impl Form {
    fn text(self, name: &str, text: &str) -> Self {
        self.part(&format!("name=\"{name}\"\r\n\r\n{text}"))
    }

    fn file(self, name: &str) -> Self {
        let file = "; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\nany";
        self.part(&format!("name=\"{name}\"{file}"))
    }

    fn part(self, part: &str) -> Self {
        let before = self.0;
        Self(format!(
            "{before}--b\r\nContent-Disposition: form-data; {part}\r\n"
        ))
    }

    /// A request with it, and with a key.
    fn to(self, app: &App, path: &str) -> RequestBuilder {
        let request = app.post(path).header("x-api-key", "any");
        let request = request.header(CONTENT_TYPE, "multipart/form-data; boundary=b");
        request.body(format!("{}--b--\r\n", self.0))
    }
}

/// A request of a wire, with its key, for this picture.
fn request(app: &App, path: &str, picture: &str) -> RequestBuilder {
    let request = app.post(path).header("x-api-key", "any");
    let form = Form::default();
    match path {
        REMOVEBG => {
            let form = form.text("image_url", picture).text("size", "auto");
            form.text("format", "png").to(app, path)
        }
        PHOTOROOM => form.text("image_file", picture).to(app, path),
        SEGMIND => {
            let face = "https://a.example/face.png";
            request.json(&json!({ "source_image": face, "target_image": picture, "image_format": "jpeg" }))
        }
        PIAPI => request.json(&json!({
            "model": "Qubico/image-toolkit", "task_type": "background-remove", "input": { "image": picture },
        })),
        _ => {
            let form = form.text("source_url", picture);
            form.text("model", "Standard V2").to(app, path)
        }
    }
}

async fn answered(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap_or_default())
}

/// The place of a job, as its provider names it.
async fn accepted(app: &App, path: &str, words: &str) -> String {
    let (status, body) = answered(request(app, path, &fox(words))).await;
    assert_eq!(status, 200, "{body}");
    if path == PIAPI {
        let id = body["data"]["task_id"].as_str().unwrap();
        format!("{PIAPI}/{id}")
    } else {
        let id = body["process_id"].as_str().unwrap();
        format!("{TOPAZ}/status/{id}")
    }
}

async fn look(app: &App, place: &str) -> (StatusCode, Value) {
    answered(app.get(place).header("x-api-key", "any")).await
}

/// How a job ends.
async fn over(app: &App, place: &str) -> (StatusCode, Value) {
    let looking = async {
        loop {
            let (status, body) = look(app, place).await;
            let state = body["data"]["status"]
                .as_str()
                .or_else(|| body["status"].as_str());
            let state = state.unwrap_or_default().to_lowercase();
            if !["pending", "staged", "processing"].contains(&state.as_str()) {
                return (status, body);
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap()
}

async fn last_billed(app: &App, provider: &str) -> i64 {
    let jobs = app.json(&format!("/bill/jobs?provider={provider}")).await;
    let jobs = jobs["jobs"].as_array().unwrap();
    jobs.last().unwrap()["billed"].as_i64().unwrap()
}

fn colours(file: &[u8]) -> png::ColorType {
    let picture = png::Decoder::new(std::io::Cursor::new(file));
    picture.read_info().unwrap().info().color_type
}

#[tokio::test]
async fn a_picture_is_answered_itself() {
    let app = App::start().await;
    for (path, kind, provider, price) in [
        (REMOVEBG, "image/png", "removebg", 200_000),
        (PHOTOROOM, "image/png", "photoroom", 20_000),
        (SEGMIND, "image/jpeg", "segmind", 50_000),
    ] {
        let response = request(&app, path, &fox("delay=5ms")).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let headers = response.headers().clone();
        assert_eq!(headers["content-type"], kind, "{path}");
        let file = response.bytes().await.unwrap();
        if kind == "image/png" {
            assert_eq!(colours(&file), png::ColorType::Rgba, "{path}");
        }
        assert_eq!(last_billed(&app, provider).await, price, "{path}");
        if path == REMOVEBG {
            assert_eq!(headers["x-credits-charged"], "1");
            assert_eq!(headers["x-width"], "1024");
        }
    }
    // A preview is a quarter, and what tells too much tells it a hundred times.
    let preview = Form::default().text("image_url", &fox("outcome=overreport"));
    let response = preview.to(&app, REMOVEBG).send().await.unwrap();
    assert_eq!(response.headers()["x-credits-charged"], "25");
    assert_eq!(last_billed(&app, "removebg").await, 5_000_000);
}

#[tokio::test]
async fn a_file_is_taken_as_well() {
    let app = App::start().await;
    for (path, field, taken) in [
        (REMOVEBG, "image_file", 200),
        (PHOTOROOM, "image_file", 200),
        (&format!("{TOPAZ}/enhance/async"), "image", 200),
        (REMOVEBG, "picture", 400),
        (PHOTOROOM, "picture", 400),
    ] {
        let form = Form::default().file(field);
        let status = form.to(&app, path).send().await.unwrap().status();
        assert_eq!(status, taken, "{path} {field}");
    }
    let both = Form::default().text("image_url", &fox("delay=1ms"));
    let (status, body) = answered(both.file("image_file").to(&app, REMOVEBG)).await;
    assert_eq!(status, 400);
    assert_eq!(body["errors"][0]["code"], "multiple_sources");
}

#[tokio::test]
async fn those_who_answer_at_once_refuse_in_their_own_words() {
    let app = App::start().await;
    for (words, status) in [
        ("outcome=fail", [500, 500, 500]),
        ("outcome=moderated", [400, 400, 400]),
        ("outcome=rate_limited", [429, 429, 429]),
        ("outcome=overloaded", [503, 503, 503]),
        ("outcome=out_of_balance", [402, 402, 406]),
    ] {
        for (path, expected) in AT_ONCE.into_iter().zip(status) {
            let response = request(&app, path, &fox(words)).send().await.unwrap();
            assert_eq!(response.status(), expected, "{path} {words}");
            let has_pause = response.headers().contains_key("retry-after");
            assert_eq!(has_pause, path == REMOVEBG && expected == 429);
            let body: Value = response.json().await.unwrap();
            let said = [&body["errors"][0]["title"], &body["detail"], &body["error"]];
            assert!(said.iter().any(|words| words.is_string()), "{path} {body}");
        }
    }
    for path in AT_ONCE {
        let malformed = request(&app, path, &fox("outcome=malformed"));
        let response = malformed.send().await.unwrap();
        assert!(response.json::<Value>().await.is_err(), "{path}");
        let cut = request(&app, path, &fox("outcome=cut"));
        let response = cut.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.bytes().await.is_err(), "{path}");
        let vanished = request(&app, path, &fox("outcome=vanish")).send().await;
        assert!(vanished.is_err(), "{path}");
    }
}

#[tokio::test]
async fn a_job_becomes_what_was_asked_for() {
    let app = App::start().await;
    let place = accepted(&app, PIAPI, "delay=20ms").await;
    let (_, body) = over(&app, &place).await;
    let task = &body["data"];
    assert_eq!(
        (&body["code"], &task["status"]),
        (&json!(200), &json!("Completed"))
    );
    let url = task["output"]["image_url"].as_str().unwrap();
    let file = app.client.get(url).send().await.unwrap();
    assert_eq!(file.headers()["content-type"], "image/png");
    let file = file.bytes().await.unwrap();
    assert_eq!(colours(&file), png::ColorType::Rgba);
    assert_eq!(last_billed(&app, "piapi").await, 4_000);

    let enhance = format!("{TOPAZ}/enhance/async");
    let place = accepted(&app, &enhance, "delay=20ms").await;
    let download = place.replace("status", "download");
    let (early, _) = look(&app, &download).await;
    assert_eq!(early, StatusCode::CONFLICT);
    let (_, body) = over(&app, &place).await;
    assert_eq!(
        (&body["status"], &body["credits"]),
        (&json!("Completed"), &json!(1))
    );
    let (_, body) = look(&app, &download).await;
    let url = body["download_url"].as_str().unwrap();
    let file = app.client.get(url).send().await.unwrap();
    assert_eq!(file.headers()["content-type"], "image/jpeg");
    assert_eq!(last_billed(&app, "topaz").await, 80_000);
}

#[tokio::test]
async fn each_outcome_of_a_job_has_its_end() {
    let app = App::start().await;
    let enhance = format!("{TOPAZ}/enhance/async");
    for (words, status) in [
        ("outcome=rate_limited", 429),
        ("outcome=overloaded", 503),
        ("outcome=out_of_balance", 402),
    ] {
        for path in [PIAPI, &enhance] {
            let (found, body) = answered(request(&app, path, &fox(words))).await;
            assert_eq!((found.as_u16(), &body["code"]), (status, &json!(status)));
        }
    }
    // PiAPI says of the answer as well that the task in it has failed.
    for (words, piapi, topaz, state) in [
        ("outcome=fail", 500, 200, "Failed"),
        ("outcome=moderated", 200, 200, "Failed"),
        ("outcome=vanish", 404, 404, ""),
        ("outcome=malformed", 200, 200, ""),
    ] {
        for (path, status) in [(PIAPI, piapi), (&enhance, topaz)] {
            let place = accepted(&app, path, words).await;
            let (found, body) = over(&app, &place).await;
            assert_eq!(found, status, "{path} {words}");
            let told = body["data"]["status"]
                .as_str()
                .or_else(|| body["status"].as_str());
            assert_eq!(told.unwrap_or_default(), state, "{path} {words}");
            let is_policy = body.to_string().contains("content ");
            assert_eq!(is_policy, words.ends_with("moderated"), "{body}");
        }
    }
}

#[tokio::test]
async fn a_process_that_waits_can_be_cancelled() {
    let app = App::start().await;
    let enhance = format!("{TOPAZ}/enhance/async");
    let cancel = async |place: &str| {
        let path = place.replace("status", "cancel");
        let url = format!("{}{path}", app.base);
        let request = app.client.delete(url).header("x-api-key", "any");
        answered(request).await.0
    };
    let waits = accepted(&app, &enhance, "delay=20s").await;
    assert_eq!(cancel(&waits).await, 200);
    let (_, body) = look(&app, &waits).await;
    assert_eq!(body["status"], "Cancelled");
    let over_already = accepted(&app, &enhance, "delay=0ms").await;
    over(&app, &over_already).await;
    assert_eq!(cancel(&over_already).await, 409);
    assert_eq!(cancel(&format!("{TOPAZ}/status/none")).await, 404);
}

#[tokio::test]
async fn what_they_do_not_take_is_refused() {
    let app = App::start().await;
    let enhance = format!("{TOPAZ}/enhance/async");
    for path in [REMOVEBG, PHOTOROOM, SEGMIND, PIAPI, &enhance] {
        let request = request(&app, path, &fox("delay=1ms")).build().unwrap();
        let mut request = request;
        request.headers_mut().remove("x-api-key");
        let status = app.client.execute(request).await.unwrap().status();
        let forbidden = [REMOVEBG, PHOTOROOM].contains(&path);
        assert_eq!(status, if forbidden { 403 } else { 401 }, "{path}");
    }
    let swap = |more: Value| {
        let mut input =
            json!({ "target_image": fox("delay=1ms"), "swap_image": "https://a.example/1" });
        input
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        input
    };
    let task = |kind: &str, input: Value| json!({ "model": "Qubico/image-toolkit", "task_type": kind, "input": input });
    let indexes = json!({ "swap_faces_index": "0", "target_faces_index": "2" });
    let numbers = json!({ "swap_faces_index": 0, "target_faces_index": 2 });
    let image = json!({ "image": "https://a.example/1", "scale": 11 });
    for (body, status) in [
        (task("face-swap", swap(json!({}))), 200),
        (task("face-swap", swap(indexes.clone())), 400),
        (task("multi-face-swap", swap(indexes)), 200),
        (task("multi-face-swap", swap(numbers)), 400),
        (task("multi-face-swap", swap(json!({}))), 400),
        (task("upscale", image), 400),
        (task("portrait", json!({})), 400),
        (json!({ "model": "Qubico/image-toolkit" }), 400),
        (json!([]), 400),
    ] {
        let request = app.post(PIAPI).header("x-api-key", "any").json(&body);
        let (found, answer) = answered(request).await;
        assert_eq!(found, status, "{body} {answer}");
        assert_eq!(answer["code"], status, "{answer}");
    }
    for (field, value) in [
        ("model", "Standard V9"),
        ("output_format", "tiff"),
        ("n", "1"),
    ] {
        let form = Form::default().text("source_url", &fox("delay=1ms"));
        let (found, _) = answered(form.text(field, value).to(&app, &enhance)).await;
        assert_eq!(found, StatusCode::UNPROCESSABLE_ENTITY, "{field}");
    }
    let elsewhere = app
        .post("/topaz/image/v1/sharpen/async")
        .header("x-api-key", "any");
    assert_eq!(answered(elsewhere).await.0, 404);
    let elsewhere = app
        .post("/segmind/v1/faceswap-v9")
        .header("x-api-key", "any");
    assert_eq!(answered(elsewhere).await.0, 404);
}
