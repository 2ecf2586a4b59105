//! Every attempt passes the egress guard, whatever was checked before.

use std::io::ErrorKind;

use db::Engine;

use crate::{
    app::{FAST, Home},
    database::on_both_engines,
};

on_both_engines!(a_forbidden_address_is_never_connected_and_the_refusal_is_recorded,);

async fn a_forbidden_address_is_never_connected_and_the_refusal_is_recorded(engine: Engine) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let home = Home::new(engine).await;
    let app = home.start(FAST, "").await;

    for (url, why) in [
        (format!("http://127.0.0.1:{port}/?token=t"), "loopback"),
        (format!("https://2130706433:{port}/"), "loopback"),
        (format!("https://localhost:{port}/"), "internal name"),
        (format!("https://[::ffff:7f00:1]:{port}/"), "loopback"),
        ("https://169.254.169.254/latest".to_owned(), "link-local"),
        ("ftp://example.com/".to_owned(), "scheme"),
        ("no url at all".to_owned(), "valid URL"),
    ] {
        let event = app.publish(&url, "{}").await;
        let dead = app.reaches(event.event, "dead").await;
        assert_eq!((dead.attempts, dead.status), (5, None), "{url}");
        let error = dead.error.unwrap();
        assert!(error.contains("refused"), "{url}: {error}");
        assert!(!error.contains("token"), "{url}: {error}");
        assert!(error.contains(why), "{url}: {error}");
    }
    let accepted = listener.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(accepted, Err(ErrorKind::WouldBlock));
    assert!(app.metrics().contains("aio_webhooks_egress_refusals_total"));
}
