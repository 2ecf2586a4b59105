//! How the settings are written.

use std::time::Duration;

use serde_json::json;
use upstream::{EgressConfig, UpstreamConfig};

#[test]
fn everything_has_a_default() {
    let egress: EgressConfig = serde_json::from_value(json!({})).unwrap();
    assert_eq!(egress, EgressConfig::default());
    let upstream: UpstreamConfig = serde_json::from_value(json!({})).unwrap();
    assert_eq!(upstream, UpstreamConfig::default());
}

#[test]
fn what_is_printed_can_be_read_again() {
    let egress: EgressConfig = serde_json::from_value(json!({
        "allow": "127.0.0.1/32, 10.1.2.3/8,fd00::/8,192.168.7.7",
        "ports": [443, "8443"],
        "schemes": "https,http",
        "deny_hosts": ["example.com"],
        "nameservers": "127.0.0.1:53",
        "resolve_timeout": "1500ms",
        "own_hosts": "api.example.com, www.example.com",
        "proxy": "Smokescreen:4750",
    }))
    .unwrap();
    let allow: Vec<String> = egress.allow.iter().map(ToString::to_string).collect();
    assert_eq!(
        allow,
        ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8", "192.168.7.7/32"]
    );
    assert_eq!(egress.ports, [443, 8443]);
    assert_eq!(egress.patience.resolve_timeout, Duration::from_millis(1500));
    let printed = serde_json::to_value(&egress).unwrap();
    assert_eq!(printed["resolve_timeout"], "1500ms");
    assert_eq!(printed["proxy"], "smokescreen:4750");
    assert_eq!(
        serde_json::from_value::<EgressConfig>(printed).unwrap(),
        egress
    );
}

#[test]
fn a_proxy_may_be_an_address() {
    for address in ["10.0.0.1:4750", "[fd00::1]:80"] {
        let egress = serde_json::from_value::<EgressConfig>(json!({ "proxy": address })).unwrap();
        assert_eq!(serde_json::to_value(&egress).unwrap()["proxy"], address);
    }
}

#[test]
fn a_mistake_is_named_with_what_is_allowed() {
    for (setting, told) in [
        (
            json!({"allow": "127.0.0.1/33"}),
            "`127.0.0.1/33`: not an address range",
        ),
        (
            json!({"allow": ["somewhere"]}),
            "`somewhere`: not an address range",
        ),
        (json!({"schemes": "ftp"}), "use http or https"),
        (
            json!({"idle_timeout": "5"}),
            "write 1500ms, 5s, 2m, 1h or 14d",
        ),
        (json!({"idle_timeout": "1m 30s"}), "is not a duration"),
        (json!({"idle_timeout": "0s"}), "more than zero"),
        (json!({"proxy": "smokescreen"}), "write host:port"),
        (
            json!({"proxy": "http://smokescreen:4750"}),
            "write host:port",
        ),
        (
            json!({"proxy": "user:pass@smokescreen:4750"}),
            "write host:port",
        ),
        (json!({"proxy": "smokescreen:0"}), "write host:port"),
        (json!({"alow": []}), "unknown field `alow`"),
    ] {
        let error = serde_json::from_value::<EgressConfig>(setting).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
}
