//! Makers of films: what each takes and refuses in which words, how a job is looked at, where its file is, and what it would bill.

use reqwest::{RequestBuilder, StatusCode, header::AUTHORIZATION};
use serde_json::{Value, json};

use crate::{App, PATIENCE};

/// One wire: where a film is asked for, and where all of it is told.
struct Wire {
    /// What the bill calls it.
    provider: &'static str,
    submit: &'static str,
    /// Where the answer to a submit has the job.
    job: &'static str,
    /// What is before the job where it is looked at, and behind it.
    look: (&'static str, &'static str),
    /// Where a look has the state, and what it is before the job is over.
    state: &'static str,
    open: &'static [&'static str],
    /// Where a look has the file.
    file: &'static str,
    price: i64,
}

const KLING: Wire = Wire {
    provider: "kling",
    submit: "/kling/text-to-video/kling-3.0",
    job: "/data/id",
    look: ("/kling/tasks?task_ids=", ""),
    state: "/data/0/status",
    open: &["submitted", "processing"],
    file: "/data/0/outputs/0/url",
    price: 420_000,
};
const OLD_KLING: Wire = Wire {
    provider: "kling",
    submit: "/kling/v1/videos/text2video",
    job: "/data/task_id",
    look: ("/kling/v1/videos/text2video/", ""),
    state: "/data/task_status",
    open: &["submitted", "processing"],
    file: "/data/task_result/videos/0/url",
    price: 420_000,
};
const MINIMAX: Wire = Wire {
    provider: "minimax",
    submit: "/minimax/v1/video_generation",
    job: "/task_id",
    look: ("/minimax/v1/query/video_generation?task_id=", ""),
    state: "/status",
    open: &["Queueing", "Processing"],
    // It is told elsewhere.
    file: "/file_id",
    price: 280_000,
};
const DASHSCOPE: Wire = Wire {
    provider: "dashscope",
    submit: "/dashscope/api/v1/services/aigc/video-generation/video-synthesis",
    job: "/output/task_id",
    look: ("/dashscope/api/v1/tasks/", ""),
    state: "/output/task_status",
    open: &["PENDING", "RUNNING"],
    file: "/output/video_url",
    price: 500_000,
};
const VIDU: Wire = Wire {
    provider: "vidu",
    submit: "/vidu/ent/v2/text2video",
    job: "/task_id",
    look: ("/vidu/ent/v2/tasks/", "/creations"),
    state: "/state",
    open: &["queueing", "processing"],
    file: "/creations/0/url",
    price: 500_000,
};
const PIXVERSE: Wire = Wire {
    provider: "pixverse",
    submit: "/pixverse/openapi/v2/video/text/generate",
    job: "/Resp/video_id",
    look: ("/pixverse/openapi/v2/video/result/", ""),
    state: "/Resp/status",
    open: &["5"],
    file: "/Resp/url",
    price: 600_000,
};
const VEO: Wire = Wire {
    provider: "gemini",
    submit: "/gemini/v1beta/models/veo-3.1-fast-generate-preview:predictLongRunning",
    job: "/name",
    look: ("/gemini/v1beta/", ""),
    state: "/done",
    open: &["null"],
    file: "/response/generateVideoResponse/generatedSamples/0/video/uri",
    price: 400_000,
};
const WIRES: [Wire; 7] = [KLING, OLD_KLING, MINIMAX, DASHSCOPE, VIDU, PIXVERSE, VEO];

/// What each is asked.
fn request(wire: &Wire, prompt: &str) -> Value {
    match wire.submit {
        submit if submit == KLING.submit => {
            json!({ "prompt": prompt, "settings": { "resolution": "720p", "audio": "off", "duration": 5 } })
        }
        submit if submit == OLD_KLING.submit => {
            json!({ "model_name": "kling-v3", "prompt": prompt, "mode": "std", "duration": "5", "sound": "off" })
        }
        submit if submit == MINIMAX.submit => {
            json!({ "model": "MiniMax-Hailuo-2.3", "prompt": prompt, "duration": 6, "resolution": "768P" })
        }
        submit if submit == DASHSCOPE.submit => json!({
            "model": "wan2.6-t2v", "input": { "prompt": prompt }, "parameters": { "size": "1280*720", "duration": 5 },
        }),
        submit if submit == VIDU.submit => {
            json!({ "model": "viduq3-pro", "prompt": prompt, "resolution": "720p", "duration": 5 })
        }
        submit if submit == PIXVERSE.submit => {
            json!({ "model": "v5.6", "prompt": prompt, "quality": "720p", "duration": 5, "aspect_ratio": "16:9" })
        }
        _ => json!({ "instances": [{ "prompt": prompt }], "parameters": { "durationSeconds": 4 } }),
    }
}

/// With the key where each looks for it.
fn keyed(request: RequestBuilder, provider: &str) -> RequestBuilder {
    match provider {
        "vidu" => request.header(AUTHORIZATION, "Token any"),
        "pixverse" => request
            .header("api-key", "any")
            .header("ai-trace-id", "0190f0a0-1111-4111-8111-111111111111"),
        "gemini" => request.header("x-goog-api-key", "any"),
        _ => request
            .bearer_auth("any")
            .header("x-dashscope-async", "enable"),
    }
}

async fn answered(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap_or_default())
}

async fn ask(app: &App, wire: &Wire, prompt: &str) -> (StatusCode, Value) {
    let request = app.post(wire.submit).json(&request(wire, prompt));
    answered(keyed(request, wire.provider)).await
}

fn word(body: &Value, place: &str) -> String {
    let found = body.pointer(place).cloned().unwrap_or_default();
    found
        .as_str()
        .map_or_else(|| found.to_string(), str::to_owned)
}

/// Where a job is looked at.
async fn place(app: &App, wire: &Wire, prompt: &str) -> String {
    let (status, body) = ask(app, wire, prompt).await;
    assert_eq!(status, 200, "{} {body}", wire.submit);
    let (before, behind) = wire.look;
    format!("{before}{}{behind}", word(&body, wire.job))
}

async fn look(app: &App, wire: &Wire, place: &str) -> (StatusCode, Value) {
    answered(keyed(app.get(place), wire.provider)).await
}

/// Looks at a job until it is over.
async fn over(app: &App, wire: &Wire, place: &str) -> (StatusCode, Value) {
    let looking = async {
        loop {
            let (status, body) = look(app, wire, place).await;
            if !wire.open.contains(&word(&body, wire.state).as_str()) || status != 200 {
                return (status, body);
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap()
}

async fn last_billed(app: &App, provider: &str) -> Value {
    let jobs = app.json(&format!("/bill/jobs?provider={provider}")).await;
    jobs["jobs"].as_array().unwrap().last().unwrap()["billed"].clone()
}

#[tokio::test]
async fn a_job_becomes_a_film() {
    let app = App::start().await;
    for wire in &WIRES {
        let place = place(&app, wire, "a fox [sandbox delay=60ms]").await;
        let (status, body) = over(&app, wire, &place).await;
        assert_eq!(status, 200, "{} {body}", wire.submit);
        assert_eq!(last_billed(&app, wire.provider).await, wire.price, "{body}");
        if wire.provider == "kling" {
            let places = ["/data/0/billing/0/amount", "/data/final_unit_deduction"];
            let units = places.iter().find_map(|place| body.pointer(place));
            assert_eq!(units, Some(&json!("3.0")), "{body}");
        }
        let mut file = word(&body, wire.file);
        if wire.provider == "minimax" {
            let path = format!("/minimax/v1/files/retrieve?file_id={file}");
            let (_, body) = look(&app, wire, &path).await;
            file = word(&body, "/file/download_url");
        }
        let request = app.client.get(&file);
        let film = if wire.provider == "gemini" {
            let unkeyed = app.client.get(&file).send().await.unwrap();
            assert_eq!(unkeyed.status(), 403, "it is for a key alone");
            keyed(request, "gemini").send().await.unwrap()
        } else {
            request.send().await.unwrap()
        };
        assert_eq!(film.status(), 200, "{file}");
        assert_eq!(film.headers()["content-type"], "video/mp4");
        assert!(!body.to_string().contains("a fox"));
    }
}

#[tokio::test]
async fn what_goes_wrong_is_said_in_the_words_of_each() {
    let app = App::start().await;
    for (wire, outcome, status, place, told) in [
        (&KLING, "rate_limited", 429, "/code", "1302"),
        (&KLING, "out_of_balance", 429, "/code", "1102"),
        (&OLD_KLING, "overloaded", 503, "/code", "5001"),
        // As if all were well.
        (
            &MINIMAX,
            "rate_limited",
            200,
            "/base_resp/status_code",
            "1002",
        ),
        (
            &MINIMAX,
            "out_of_balance",
            200,
            "/base_resp/status_code",
            "1008",
        ),
        (
            &DASHSCOPE,
            "rate_limited",
            429,
            "/code",
            "Throttling.RateQuota",
        ),
        (&DASHSCOPE, "out_of_balance", 400, "/code", "Arrearage"),
        (&VIDU, "rate_limited", 429, "/reason", "TooManyRequests"),
        (
            &VIDU,
            "out_of_balance",
            400,
            "/reason",
            "CreditInsufficient",
        ),
        (&PIXVERSE, "overloaded", 200, "/ErrCode", "500069"),
        (&PIXVERSE, "out_of_balance", 200, "/ErrCode", "500090"),
        (&VEO, "overloaded", 503, "/error/status", "UNAVAILABLE"),
        (
            &VEO,
            "out_of_balance",
            402,
            "/error/status",
            "RESOURCE_EXHAUSTED",
        ),
    ] {
        let (found, body) = ask(&app, wire, &format!("a fox [sandbox outcome={outcome}]")).await;
        assert_eq!(
            (found.as_u16(), word(&body, place).as_str()),
            (status, told),
            "{body}"
        );
    }
    let bill = app.json("/bill").await;
    assert_eq!(bill["jobs"], 0, "nothing was taken: {bill}");
}

#[tokio::test]
async fn a_job_may_fail_in_the_words_of_each() {
    let app = App::start().await;
    for (wire, outcome, place, told) in [
        (&KLING, "fail", "/data/0/status", "failed"),
        (
            &KLING,
            "moderated",
            "/data/0/message",
            "Failure to pass the risk control system",
        ),
        (&KLING, "vanish", "/data", "[]"),
        (&OLD_KLING, "vanish", "/code", "1203"),
        (&MINIMAX, "fail", "/base_resp/status_code", "1024"),
        (&MINIMAX, "moderated", "/base_resp/status_code", "1027"),
        (&MINIMAX, "vanish", "/base_resp/status_code", "2013"),
        (&DASHSCOPE, "fail", "/output/code", "InternalError.Algo"),
        (
            &DASHSCOPE,
            "moderated",
            "/output/code",
            "DataInspectionFailed",
        ),
        (&DASHSCOPE, "vanish", "/output/task_status", "UNKNOWN"),
        (&VIDU, "fail", "/err_code", "InternalServiceFailure"),
        (&VIDU, "moderated", "/err_code", "CreationPolicyViolation"),
        (&VIDU, "vanish", "/reason", "TaskNotFound"),
        (&PIXVERSE, "fail", "/Resp/status", "8"),
        (&PIXVERSE, "moderated", "/Resp/status", "7"),
        (&PIXVERSE, "vanish", "/ErrCode", "500008"),
        (&VEO, "fail", "/error/code", "13"),
        (
            &VEO,
            "moderated",
            "/response/generateVideoResponse/raiMediaFilteredCount",
            "1",
        ),
        (&VEO, "vanish", "/error/status", "NOT_FOUND"),
    ] {
        let prompt = format!("a fox [sandbox outcome={outcome} delay=5ms]");
        let at = self::place(&app, wire, &prompt).await;
        let (_, body) = over(&app, wire, &at).await;
        assert_eq!(word(&body, place), told, "{} {outcome} {body}", wire.submit);
        let billed = if outcome == "vanish" { wire.price } else { 0 };
        assert_eq!(last_billed(&app, wire.provider).await, billed);
    }
}

#[tokio::test]
async fn what_no_wire_has_is_refused() {
    let app = App::start().await;
    for (wire, change, place, told) in [
        (
            &KLING,
            json!({ "settings": { "duration": 16 } }),
            "/message",
            "duration is wrong",
        ),
        (
            &KLING,
            json!({ "mode": "std" }),
            "/message",
            "mode is not known",
        ),
        (
            &OLD_KLING,
            json!({ "duration": 5 }),
            "/message",
            "duration is wrong",
        ),
        (
            &MINIMAX,
            json!({ "resolution": "768p" }),
            "/base_resp/status_msg",
            "resolution is wrong",
        ),
        (
            &DASHSCOPE,
            json!({ "parameters": { "size": "1280x720" } }),
            "/message",
            "size is wrong",
        ),
        (
            &VIDU,
            json!({ "images": ["https://a.example/1"] }),
            "/message",
            "images is not known",
        ),
        (
            &PIXVERSE,
            json!({ "duration": 6 }),
            "/ErrMsg",
            "duration is wrong",
        ),
        (
            &PIXVERSE,
            json!({ "duration": 10, "quality": "1080p" }),
            "/ErrMsg",
            "duration is wrong",
        ),
        (
            &VEO,
            json!({ "parameters": { "resolution": "1080p", "durationSeconds": 4 } }),
            "/error/message",
            "durationSeconds must be 4, 6 or 8, and 8 above 720p",
        ),
    ] {
        let mut body = request(wire, "a fox");
        let change = change.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(change);
        let request = app.post(wire.submit).json(&body);
        let (_, answer) = answered(keyed(request, wire.provider)).await;
        assert_eq!(word(&answer, place), told, "{} {body}", wire.submit);
    }
}

#[tokio::test]
async fn nobody_is_served_without_a_key() {
    let app = App::start().await;
    for wire in &WIRES {
        let request = app.post(wire.submit).json(&request(wire, "a fox"));
        let (status, body) = answered(request).await;
        let refused = [
            "1001",
            "1004",
            "10005",
            "InvalidApiKey",
            "Unauthorized",
            "PERMISSION_DENIED",
        ];
        let is_refused = refused.iter().any(|word| body.to_string().contains(word));
        assert!(is_refused, "{} {status} {body}", wire.submit);
    }
    // A film is never made while the caller waits, and every call has a name.
    let request = app
        .post(DASHSCOPE.submit)
        .json(&request(&DASHSCOPE, "a fox"));
    let (status, _) = answered(request.bearer_auth("any")).await;
    assert_eq!(status, 403);
    let request = app
        .post(PIXVERSE.submit)
        .json(&self::request(&PIXVERSE, "a fox"));
    let (_, body) = answered(request.header("api-key", "any")).await;
    assert_eq!(body["ErrCode"], 400_011);
}

#[tokio::test]
async fn what_waits_can_be_stopped_where_there_is_a_way() {
    let app = App::start().await;
    for (wire, done) in [(&DASHSCOPE, "CANCELED"), (&VIDU, "failed")] {
        let place = place(&app, wire, "a fox [sandbox delay=1h]").await;
        let cancel = place.replace("/creations", "") + "/cancel";
        let (status, body) = answered(keyed(app.post(&cancel), wire.provider)).await;
        assert_eq!(status, 200, "{body}");
        let (_, body) = over(&app, wire, &place).await;
        assert_eq!(word(&body, wire.state), done, "{body}");
        assert_eq!(last_billed(&app, wire.provider).await, 0);
    }
}

#[tokio::test]
async fn pictures_and_songs_come_at_once() {
    let app = App::start().await;
    let picture = json!({
        "model": "qwen-image-edit-plus",
        "input": { "messages": [{ "role": "user", "content": [{ "image": "https://a.example/1" }, { "text": "a fox" }] }] },
        "parameters": { "size": "1664*928", "prompt_extend": false },
    });
    let path = "/dashscope/api/v1/services/aigc/multimodal-generation/generation";
    let (status, body) = answered(app.post(path).bearer_auth("any").json(&picture)).await;
    assert_eq!(status, 200, "{body}");
    let url = word(&body, "/output/choices/0/message/content/0/image");
    let file = app.client.get(url).send().await.unwrap();
    assert_eq!(file.headers()["content-type"], "image/png");
    assert_eq!(last_billed(&app, "dashscope").await, 30_000);
    let mut without = picture.clone();
    without["model"] = json!("qwen-image-plus");
    let (status, _) = answered(app.post(path).bearer_auth("any").json(&without)).await;
    assert_eq!(status, 400, "there is nothing to edit");

    let song = json!({ "model": "music-2.5", "prompt": "folk", "lyrics_optimizer": true, "output_format": "url" });
    let path = "/minimax/v1/music_generation";
    let (_, body) = answered(app.post(path).bearer_auth("any").json(&song)).await;
    let file = app
        .client
        .get(word(&body, "/data/audio"))
        .send()
        .await
        .unwrap();
    assert_eq!(file.headers()["content-type"], "audio/mpeg");
    let mut both = song.clone();
    both["lyrics"] = json!("");
    let (_, body) = answered(app.post(path).bearer_auth("any").json(&both)).await;
    assert_eq!(body["base_resp"]["status_code"], 2_013);
}

#[tokio::test]
async fn a_picture_is_uploaded_before_it_moves() {
    let app = App::start().await;
    let upload = |kind: &str, body: &'static str| {
        let request = app.post("/pixverse/openapi/v2/image/upload").body(body);
        keyed(request.header("content-type", kind), "pixverse")
    };
    let kind = "multipart/form-data; boundary=b";
    let form = "--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"image.png\"\r\nContent-Type: image/png\r\n\r\nPNG\r\n--b--\r\n";
    let (_, body) = answered(upload(kind, form)).await;
    let picture = body["Resp"]["img_id"].clone();
    assert!(picture.is_i64(), "{body}");
    for (kind, form) in [(kind, "--b--\r\n"), ("application/json", form)] {
        let (_, body) = answered(upload(kind, form)).await;
        assert_eq!(body["ErrCode"], 500_031, "{body}");
    }
    let mut film = request(&PIXVERSE, "a fox");
    film.as_object_mut().unwrap().remove("aspect_ratio");
    for (picture, code) in [(picture, 0), (json!(7), 400_017)] {
        film["img_id"] = picture;
        let path = "/pixverse/openapi/v2/video/img/generate";
        let (_, body) = answered(keyed(app.post(path).json(&film), "pixverse")).await;
        assert_eq!(body["ErrCode"], code, "{body}");
    }
}
