//! Every spelling of the forbidden that we know of, refused by form alone, without any network.

use upstream::{EgressConfig, Policy};

/// Spellings of loopback and of the unspecified address.
pub(crate) const LOOPBACK: &[&str] = &[
    "http://127.0.0.1/",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://0/",
    "https://0.0.0.0/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://127.000.000.001/",
    "https://127.0.0.1./",
    "http:\\\\127.0.0.1\\",
    "http:///127.0.0.1/",
    "http:127.0.0.1/",
    "https://①②⑦.⓪.⓪.①/",
    "https://127。0。0。1/",
    "https://127.0.0.1#@evil.example",
    "https://127.0.0.1\\@evil.example",
];

pub(crate) const CREDENTIALS: &[&str] = &[
    "https://127.0.0.1:80@evil.example/",
    "https://evil.example@127.0.0.1/",
    "https://user:pass@example.com/",
    "https://user@example.com/",
];

pub(crate) const NAMES: &[&str] = &[
    "https://localhost/",
    "https://LOCALHOST./",
    "https://api.localhost/",
    "https://localhost.localdomain/",
    "https://metadata.google.internal/",
    "https://METADATA.GOOGLE.INTERNAL./",
    "https://kubernetes.default.svc/",
    "https://redis:6379/",
    "https://redis/",
    "https://postgres.prod.svc.cluster.local:5432/",
    "https://printer.local/",
    "https://router.home.arpa/",
];

pub(crate) const IPV6: &[&str] = &[
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:a9fe:a9fe]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[fe80::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fec0::1]",
    "[ff02::1]",
    "[100::1]",
    "[2001:db8::1]",
    "[5f00::1]",
    "[3fff::1]",
];

pub(crate) const SPECIAL: &[&str] = &[
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "169.254.170.2",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
];

pub(crate) const OTHER: &[(&str, &str)] = &[
    ("https://example.com:22/", "port"),
    ("https://example.com:0/", "port"),
    ("https://example.com:65536/", "malformed"),
    ("http://example.com/", "scheme"),
    ("http://evil.example#@127.0.0.1/", "scheme"),
    ("ftp://example.com/", "scheme"),
    ("file:///etc/passwd", "scheme"),
    ("gopher://127.0.0.1:6379/_FLUSHALL", "scheme"),
    ("dict://127.0.0.1:11211/stats", "scheme"),
    ("data:text/plain,hello", "scheme"),
    ("unix:/var/run/docker.sock", "scheme"),
    ("javascript:alert(1)", "scheme"),
    ("https://exa mple.com/", "malformed"),
    ("https://example.com%00.evil.example/", "malformed"),
    ("https://example.com%2f@127.0.0.1/", "credentials"),
    ("https://[fe80::1%25eth0]/", "malformed"),
    ("https://example.com/\u{0}", "malformed"),
    ("https://example.com/\u{85}", "malformed"),
    ("https://exam\tple.com/", "malformed"),
    (" https://example.com/", "malformed"),
    ("https://example.com..", "malformed"),
    ("https://", "malformed"),
    ("", "malformed"),
    ("//example.com/", "malformed"),
    ("example.com/hook", "malformed"),
];

fn policy(allow: &str) -> Policy {
    let settings = serde_json::json!({ "allow": allow });
    Policy::new(&serde_json::from_value::<EgressConfig>(settings).unwrap())
}

fn reason(policy: &Policy, url: &str) -> &'static str {
    match policy.check_form(url) {
        Ok(_) => "accepted",
        Err(refusal) => refusal.reason(),
    }
}

/// The table, under no allowed range, under a range that none of the cases lies in, and under the range tests use.
#[test]
fn the_forbidden_is_refused_however_it_is_spelt() {
    for allow in ["", "10.200.0.0/16"] {
        let policy = policy(allow);
        for url in LOOPBACK {
            assert_eq!(reason(&policy, url), "literal", "{url}");
        }
        for url in CREDENTIALS {
            assert_eq!(reason(&policy, url), "credentials", "{url}");
        }
        for url in NAMES {
            assert_eq!(reason(&policy, url), "name", "{url}");
        }
        for host in IPV6.iter().chain(SPECIAL) {
            for scheme in ["http", "https"] {
                let url = format!("{scheme}://{host}/latest/meta-data");
                assert_eq!(reason(&policy, &url), "literal", "{url}");
            }
        }
        for (url, why) in OTHER {
            assert_eq!(reason(&policy, url), *why, "{url:?}");
        }
    }
}

#[test]
fn an_allowed_loopback_opens_nothing_else() {
    let policy = policy("127.0.0.1/32");
    for host in IPV6.iter().chain(SPECIAL).chain(&["0.0.0.0", "127.0.0.2"]) {
        let url = format!("http://{host}/");
        assert_eq!(reason(&policy, &url), "literal", "{url}");
    }
    for (url, why) in OTHER {
        assert_eq!(reason(&policy, url), *why, "{url:?}");
    }
    for url in NAMES {
        let name = url.to_lowercase();
        let loopback = name.contains("localhost") && !name.contains("localdomain");
        let expected = if loopback { "accepted" } else { "name" };
        assert_eq!(reason(&policy, url), expected, "{url}");
    }
}

#[test]
fn the_public_is_accepted() {
    let policy = policy("");
    for url in [
        "https://1.1.1.1:443/",
        "https://8.8.8.8/",
        "https://[2606:4700:4700::1111]/",
        "https://example.com/hook?token=secret",
        "https://example.com:80/",
        "https://EXAMPLE.com./hook",
        "https://xn--bcher-kva.example/",
        "https://bücher.example/",
        "https://internal.example.com/",
        "https://169.254.169.254.nip.io/",
        "https://example.com/#fragment",
    ] {
        assert_eq!(reason(&policy, url), "accepted", "{url}");
    }
    let url = policy
        .check_form("https://EXAMPLE.com./a?token=secret#c")
        .unwrap();
    assert_eq!(url.as_url().as_str(), "https://example.com/a?token=secret");
    assert!(!format!("{url:?}").contains("secret"));
}

#[test]
fn an_allowed_range_opens_both_schemes_and_every_port() {
    let policy = policy("127.0.0.1/32,fd00::/8");
    for url in [
        "http://127.0.0.1:8081/hook",
        "https://127.0.0.1:1/",
        "http://2130706433:9000/",
        "http://[fd00::7]:9000/",
        "http://localhost:9000/",
    ] {
        assert_eq!(reason(&policy, url), "accepted", "{url}");
    }
    assert_eq!(reason(&policy, "ftp://127.0.0.1/"), "scheme");
    assert_eq!(reason(&policy, "http://u:p@127.0.0.1/"), "credentials");
    assert_eq!(reason(&policy, "http://127.0.0.1:0/"), "port");
}

#[test]
fn the_operator_can_close_more() {
    let config = EgressConfig {
        allow: vec!["10.0.0.0/8".parse().unwrap()],
        deny: vec![
            "10.0.0.5/32".parse().unwrap(),
            "8.8.8.8/32".parse().unwrap(),
        ],
        deny_hosts: vec![".Example.com".to_owned()],
        ..EgressConfig::default()
    };
    let policy = Policy::new(&config);
    assert_eq!(reason(&policy, "http://10.0.0.4:81/"), "accepted");
    assert_eq!(reason(&policy, "http://10.0.0.5:81/"), "literal");
    assert_eq!(reason(&policy, "https://8.8.8.8/"), "literal");
    assert_eq!(reason(&policy, "https://example.com/"), "name");
    assert_eq!(reason(&policy, "https://a.example.com/"), "name");
    assert_eq!(reason(&policy, "https://notexample.com/"), "accepted");
}

#[test]
fn a_long_url_is_refused_before_it_is_parsed() {
    let url = format!("https://example.com/{}", "a".repeat(10_000));
    assert_eq!(reason(&policy(""), &url), "too_long");
}

#[test]
fn a_refusal_says_what_is_allowed_and_nothing_of_the_url() {
    let policy = policy("");
    for (url, told) in [
        ("http://example.com/secret", "use https"),
        ("https://example.com:8443/secret", "use one of 443, 80"),
        ("https://10.0.0.1/secret", "a private address"),
        ("https://secret:secret@example.com/", "leave them out"),
        ("https://secret/", "public host name"),
    ] {
        let text = policy.check_form(url).unwrap_err().to_string();
        assert!(text.contains(told), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}
