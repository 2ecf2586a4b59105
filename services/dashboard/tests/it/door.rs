//! The door from outside: forms of other sites, paths that nobody may open, and cookies.

use axum::body::Body;
use dashboard::{Readers, paths};
use http::{Method, Request, StatusCode, header};

use crate::site::Site;

/// A path of the table with something in each of its places.
fn filled(path: &str) -> String {
    let pieces = path.split('/').map(|piece| {
        if piece.starts_with('{') {
            "key_01h455vb4pex5vsknk084sn02q"
        } else {
            piece
        }
    });
    pieces.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn no_form_of_another_site_gets_in() {
    let site = Site::new().await;
    let (mut asked, mut refused) = (0, 0);
    for row in paths() {
        let path = filled(row.path);
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            for (name, value) in [
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-site", "same-site"),
                ("sec-fetch-site", "nonsense"),
                ("origin", "https://evil.example"),
                ("origin", "null"),
                ("x-nothing", "said"),
            ] {
                let request = Request::builder().method(method.clone()).uri(&path);
                let request = request
                    .header("host", "api.example.com")
                    .header(name, value);
                let status = site.send(request).await.status;
                // What anybody reads takes no form at all, and no page takes but a form.
                let expected = match row.readers {
                    Readers::Door | Readers::Members if status == StatusCode::FORBIDDEN => status,
                    Readers::Anybody | Readers::Door | Readers::Members => {
                        StatusCode::METHOD_NOT_ALLOWED
                    }
                };
                assert_eq!(status, expected, "{method} {path} {name}: {value}");
                refused += usize::from(status == StatusCode::FORBIDDEN);
                asked += 1;
            }
        }
    }
    assert!(asked > 500 && refused > 200, "{asked}, {refused}");
}

#[tokio::test]
async fn nobody_sees_what_is_behind_the_door() {
    let site = Site::new().await;
    for row in paths().filter(|row| row.readers == Readers::Members) {
        let path = filled(row.path);
        for method in [Method::GET, Method::POST] {
            let request = Request::builder().method(method.clone()).uri(&path);
            let request = request
                .header("sec-fetch-site", "same-origin")
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header(
                    header::COOKIE,
                    "__Host-aio=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                );
            let reply = site.send(request).await;
            let where_to = reply.header("location").to_owned();
            match reply.status {
                StatusCode::SEE_OTHER => {
                    assert!(where_to.starts_with("/sign-in?next="), "{path}: {where_to}");
                }
                status => assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}"),
            }
        }
    }
}

#[tokio::test]
async fn forms_at_the_door_are_small_and_pages_for_one_reader_are_kept_by_nobody() {
    let site = Site::with("limits.door.forms.bytes = 1000").await;
    for (size, status) in [
        (900, StatusCode::UNAUTHORIZED),
        (1100, StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let form = format!("email=ann@example.com&password={}", "x".repeat(size - 32));
        let request = Request::post("/sign-in")
            .header("sec-fetch-site", "same-origin")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form));
        let reply = site.answer(request.unwrap()).await;
        assert_eq!(reply.status, status, "{size}");
    }
    let reply = site.get("/sign-in").await;
    assert_eq!(reply.header("cache-control"), "private, no-store");
    // Whoever follows a link that nobody made is told so, and nothing happens.
    for path in ["/reset", "/confirm", "/sign-in/first"] {
        let reply = site.get(&format!("{path}?token=x.y")).await;
        assert_eq!(reply.status, StatusCode::GONE, "{path}");
    }
}

#[tokio::test]
async fn who_may_sign_up_is_a_setting() {
    for (policy, shown) in [
        ("open", "An account, and credit to try everything with."),
        ("invited", "One signs up here by invitation."),
        ("closed", "Nobody can sign up here."),
    ] {
        let site = Site::with(&format!("dashboard.sign_up = '{policy}'")).await;
        let page = site.page("/sign-up").await;
        assert!(page.contains(shown), "{policy}: {page}");
        assert_eq!(page.contains("<form"), policy == "open", "{policy}");
        let form = "name=Ann&email=ann@example.com&password=a%20long%20password";
        // Billing is nobody here, so that whoever may is told to come back; what is left to be done then is done at the next sign-in.
        let (up, again) = match policy {
            "open" => (
                StatusCode::SERVICE_UNAVAILABLE,
                StatusCode::SERVICE_UNAVAILABLE,
            ),
            _ => (StatusCode::FORBIDDEN, StatusCode::UNAUTHORIZED),
        };
        for (path, expected) in [("/sign-up", up), ("/sign-in", again)] {
            let request = Request::post(path)
                .header("sec-fetch-site", "same-origin")
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(Body::from(form));
            let status = site.answer(request.unwrap()).await.status;
            assert_eq!(status, expected, "{policy} {path}");
        }
    }
}
