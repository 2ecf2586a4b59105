//! Who changed what, as customers and operators see it.

use domain::{Id, Scope};
use serde_json::json;

use crate::house::{House, read};

#[tokio::test]
async fn a_customer_sees_its_own_log_and_an_operator_everybodys() {
    let house = House::start().await;
    let account: domain::AccountId = Id::from_slice(&[7; 16]).unwrap();
    let entry: domain::EventId = Id::from_slice(&[9; 16]).unwrap();
    let expected = json!({
        "entry_id": entry.to_string(), "created_at": "1970-01-01T00:00:01.5Z", "account_id": account.to_string(),
        "mode": "live", "actor": "operator", "request_id": null, "action": "key.create", "subject": "key_1",
        "detail": {"name": "k"},
    });
    let (manager, admin) = (house.key(&[Scope::Manage]), house.key(&[Scope::Admin]));
    for (path, key) in [
        ("/v1/audit-log?limit=1", &manager),
        ("/v1/admin/audit-log?limit=1", &admin),
    ] {
        let (status, body) = read(house.get(path, key)).await;
        assert_eq!((status, &body["data"]["items"][0]), (200, &expected));
        assert_eq!(body["data"]["next_cursor"], entry.to_string());
    }
    let path = format!("/v1/admin/audit-log?account_id={account}&cursor={entry}");
    read(house.get(&path, &admin)).await;
    let asked = std::mem::take(&mut *house.world.logs.lock().unwrap());
    let told: Vec<_> = asked
        .iter()
        .map(|asked| {
            (
                asked.context.is_some(),
                asked.account_id.len(),
                asked.before.len(),
            )
        })
        .collect();
    assert_eq!(told, [(true, 0, 0), (false, 0, 0), (false, 16, 16)]);

    let (status, body) = read(house.get("/v1/audit-log?account_id=acct_1&limit=0", &manager)).await;
    let violations = &body["error"]["violations"];
    assert_eq!(
        (status, violations.as_array().unwrap().len()),
        (400, 2),
        "{body}"
    );
}
