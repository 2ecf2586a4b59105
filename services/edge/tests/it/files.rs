//! Outputs: who may read them, ranges, what is said about them.

use chassis::clock;
use domain::TaskId;
use reqwest::{Method, RequestBuilder};

use crate::house::{House, refusal};

fn now() -> i64 {
    clock::now_micros() / clock::MICROS_PER_SECOND
}

fn path(task: TaskId, index: u32) -> String {
    format!("/api/v1/tasks/{task}/files/{index}")
}

#[tokio::test]
async fn an_output_is_streamed_to_its_owner() {
    let house = House::start().await;
    let task = house.task();
    let answer = house
        .get(&path(task, 0), &house.usual_key())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    for (name, value) in [
        ("content-type", "image/png"),
        ("content-length", "10"),
        ("etag", "\"abc\""),
        ("accept-ranges", "bytes"),
        ("cache-control", "private"),
        ("content-disposition", "inline"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(answer.headers()[name], value, "{name}");
    }
    assert_eq!(answer.text().await.unwrap(), "0123456789");
    let missing = house.get(&path(task, 1), &house.usual_key());
    assert_eq!(refusal(missing).await, (404, "not_found".into()));
}

#[tokio::test]
async fn a_signed_link_opens_one_output_until_it_expires() {
    let house = House::start().await;
    let (task, other) = (house.task(), house.task());
    let ask = |task: TaskId, query: &str| {
        house.request(Method::GET, &format!("{}?{query}", path(task, 0)))
    };
    let good = house.secrets.links().query(task, 0, now() + 60);
    let answer = ask(task, &good).send().await.unwrap();
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.text().await.unwrap().as_str()
        ),
        (200, "0123456789")
    );
    let expired = house.secrets.links().query(task, 0, now() - 1);
    let gone = (404, "not_found".to_owned());
    assert_eq!(refusal(ask(task, &expired)).await, gone);
    assert_eq!(refusal(ask(other, &good)).await, gone);
    assert_eq!(refusal(ask(task, "exp=9999999999&sig=00")).await, gone);
    assert_eq!(refusal(ask(task, "sig=00")).await, gone);
    assert_eq!(
        refusal(ask(task, "exp=9999999999")).await,
        (401, "missing_key".into())
    );
    // The owner's key opens it all the same.
    let owner = ask(task, &expired).bearer_auth(house.usual_key());
    assert_eq!(owner.send().await.unwrap().status(), 200);
}

/// Status, `content-range`, body.
async fn part(request: RequestBuilder) -> (u16, String, String) {
    let answer = request.send().await.unwrap();
    let range = answer.headers().get("content-range");
    let range = range
        .map(|range| range.to_str().unwrap().to_owned())
        .unwrap_or_default();
    (
        answer.status().as_u16(),
        range,
        answer.text().await.unwrap(),
    )
}

#[tokio::test]
async fn a_range_of_an_output_can_be_had() {
    let house = House::start().await;
    let (task, key) = (house.task(), house.usual_key());
    let ask = |range: &str| house.get(&path(task, 0), &key).header("range", range);
    for (range, content_range, body) in [
        ("bytes=2-4", "bytes 2-4/10", "234"),
        ("bytes=7-", "bytes 7-9/10", "789"),
        ("bytes=-1", "bytes 9-9/10", "9"),
        ("bytes=0-99", "bytes 0-9/10", "0123456789"),
    ] {
        let expected = (206, content_range.to_owned(), body.to_owned());
        assert_eq!(part(ask(range)).await, expected, "{range}");
    }
    let (status, range, body) = part(ask("bytes=10-")).await;
    assert_eq!((status, range.as_str()), (416, "bytes */10"));
    assert!(
        body.contains(r#""code":"invalid_parameter""#) && body.contains("Range"),
        "{body}"
    );
    assert_eq!(part(ask("bytes=0-1,3-4")).await.0, 200);
    assert_eq!(
        part(ask("bytes=0-1").header("if-range", "\"old\"")).await.0,
        200
    );
    assert_eq!(
        part(ask("bytes=0-1").header("if-range", "\"abc\"")).await.0,
        206
    );
    let same = house
        .get(&path(task, 0), &key)
        .header("if-none-match", "\"x\", W/\"abc\"");
    assert_eq!(part(same).await, (304, String::new(), String::new()));
}

#[tokio::test]
async fn an_uploaded_file_is_read_by_whoever_has_its_link() {
    let house = House::start().await;
    let file = house.file();
    let id = domain::FileId::parse(&file).unwrap();
    let links = house.secrets.links().clone();
    let get = |query: &str| {
        let path = format!("/api/v1/files/{file}/content?{query}");
        house.request(Method::GET, &path)
    };
    let good = links.file_query(id, now() + 60);
    let answer = get(&good).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.unwrap(), "hi");
    let part = get(&good)
        .header("range", "bytes=1-1")
        .send()
        .await
        .unwrap();
    assert_eq!(part.text().await.unwrap(), "i");
    let expired = links.file_query(id, now() - 1);
    let others = links.file_query(chassis::mint(), now() + 60);
    for query in [
        expired.as_str(),
        &others,
        "exp=1&sig=",
        &good.replace("exp=", "exp=1"),
    ] {
        assert_eq!(
            refusal(get(query)).await,
            (404, "not_found".into()),
            "{query}"
        );
    }
    // No link at all is a matter of keys.
    assert_eq!(refusal(get("")).await, (401, "missing_key".into()));
}
