//! Which failure says what.

use super::*;

fn answered(status: u16, headers: &HeaderMap, classify: Classify) -> Failure {
    let status = StatusCode::from_u16(status).expect("a status");
    let body = b"{}";
    Failure::answered(
        &ProviderAnswer {
            status,
            headers,
            body,
        },
        classify,
    )
}

#[test]
fn the_bare_status_decides_when_the_adapter_is_silent() {
    let table = [
        (400, Class::Invalid),
        (401, Class::Auth),
        (402, Class::Balance),
        (403, Class::Auth),
        (404, Class::Gone),
        (413, Class::Invalid),
        (422, Class::Invalid),
        (429, Class::RateLimited),
        (500, Class::Overloaded),
        (502, Class::Unknown),
        (503, Class::Overloaded),
        (504, Class::Unknown),
        (524, Class::Unknown),
        (529, Class::Overloaded),
        (302, Class::Malformed),
    ];
    for (status, class) in table {
        let failure = answered(status, &HeaderMap::new(), |_| None);
        assert_eq!(failure.class(), class, "status {status}");
    }
}

#[test]
fn only_a_call_that_was_surely_refused_may_be_repeated() {
    let table = [
        (Class::Auth, true, false, true),
        (Class::Balance, true, false, true),
        (Class::RateLimited, true, true, true),
        (Class::Overloaded, true, true, true),
        (Class::Invalid, true, false, false),
        (Class::Moderated, true, false, false),
        (Class::Gone, true, false, true),
        (Class::Unknown, false, false, false),
        (Class::Malformed, false, false, false),
        (Class::NotSent, true, true, true),
    ];
    for (class, known, retry, another) in table {
        let failure = Failure::reported(Verdict::of(class));
        assert_eq!(failure.outcome_known(), known, "{class}");
        assert_eq!(failure.retryable(), retry, "{class}");
        assert_eq!(failure.another_may_serve(), another, "{class}");
    }
}

#[test]
fn the_adapter_overrules_the_status() {
    let failure = answered(429, &HeaderMap::new(), |_| {
        Some(Verdict::with_detail(
            Class::Balance,
            "account acme-42 is empty",
        ))
    });
    assert_eq!(failure.class(), Class::Balance);
    assert_eq!(
        failure.detail(),
        None,
        "the state of our account is nobody's business"
    );
}

#[test]
fn a_detail_is_one_bounded_line() {
    let failure = Failure::reported(Verdict::with_detail(
        Class::Invalid,
        format!("  a\r\nb\u{7}{}", "é".repeat(400)),
    ));
    let detail = failure.detail().expect("a detail");
    assert!(detail.starts_with("a b éé"), "{detail}");
    assert_eq!(detail.chars().count(), 300);
    assert!(
        !failure.to_string().contains('é'),
        "a detail is for the customer, not for the log"
    );
}

#[test]
fn the_pause_is_read_in_every_form_and_bounded() {
    let pause = |name: &'static str, value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().expect("a header"));
        answered(429, &headers, |_| None).retry_after()
    };
    assert_eq!(pause("retry-after", "7"), Some(Duration::from_secs(7)));
    assert_eq!(
        pause("retry-after-ms", "250"),
        Some(Duration::from_millis(250))
    );
    assert_eq!(pause("retry-after", "9999999"), Some(MAX_RETRY_AFTER));
    assert_eq!(
        pause("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"),
        Some(Duration::ZERO)
    );
    assert_eq!(pause("retry-after", "soon"), None);
}
