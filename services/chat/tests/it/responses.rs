//! Responses that are kept: sealed, for their account and mode alone, once, and for a while.

use bytes::Bytes;
use chassis::{mint, rpc};
use db::Engine;
use domain::{Mode, OperationId, ids};
use proto::{
    Fault,
    chat::v1::{DeleteResponseRequest, GetResponseRequest, KeepResponseRequest, KeptResponse},
    code,
};

use crate::{
    app::PATIENCE,
    database::on_both_engines,
    house::{House, Process, eventually},
};

on_both_engines!(
    a_response_is_its_accounts_in_its_mode,
    what_is_kept_first_stays_and_what_is_deleted_does_not_come_back,
    a_long_one_is_not_kept_and_an_old_one_is_forgotten,
    what_does_not_open_is_not_there,
);

fn response(words: &str) -> KeptResponse {
    KeptResponse {
        conversation: Bytes::from(format!(r#"[{{"role":"user","content":"{words}"}}]"#)),
        object: Bytes::from(format!(r#"{{"said":"{words}"}}"#)),
    }
}

async fn keep(
    process: &Process,
    (mode, operation): (Mode, OperationId),
    response: KeptResponse,
) -> bool {
    let (mut client, context) = process.caller(mode);
    let request = KeepResponseRequest {
        context,
        operation_id: operation.to_vec().into(),
        response: Some(response),
    };
    let reply = process
        .spawn(async move { client.keep_response(rpc::request(request, PATIENCE)).await })
        .await;
    reply.unwrap().unwrap().into_inner().kept
}

/// Both parts.
async fn get(
    process: &Process,
    (mode, operation): (Mode, OperationId),
) -> Result<KeptResponse, Fault> {
    let mut parts = KeptResponse::default();
    for conversation in [true, false] {
        let (mut client, context) = process.caller(mode);
        let request = GetResponseRequest {
            context,
            operation_id: operation.to_vec().into(),
            conversation,
        };
        let reply = process
            .spawn(async move { client.get_response(rpc::request(request, PATIENCE)).await })
            .await
            .unwrap();
        let part = reply.map_err(Fault::from)?.into_inner();
        assert_eq!(part.object.is_empty(), conversation, "one of them");
        if conversation {
            parts.conversation = part.conversation;
        } else {
            parts.object = part.object;
        }
    }
    Ok(parts)
}

async fn delete(process: &Process, (mode, operation): (Mode, OperationId)) -> Result<(), Fault> {
    let (mut client, context) = process.caller(mode);
    let request = DeleteResponseRequest {
        context,
        operation_id: operation.to_vec().into(),
    };
    let reply = process
        .spawn(async move {
            client
                .delete_response(rpc::request(request, PATIENCE))
                .await
        })
        .await
        .unwrap();
    reply.map(drop).map_err(Fault::from)
}

/// Every way of not being there is the same.
fn gone() -> Fault {
    Fault::new(code::NOT_FOUND, "there is no such response for this key")
}

async fn a_response_is_its_accounts_in_its_mode(engine: Engine) {
    let house = House::new(engine).await;
    let process = house.process().await;
    let operation = mint::<ids::Operation>();
    assert!(keep(&process, (Mode::Test, operation), response("foxes?")).await);
    assert_eq!(
        get(&process, (Mode::Test, operation)).await,
        Ok(response("foxes?"))
    );
    let stranger = process.of(&house.stranger());
    for (process, mode, operation) in [
        (&process, Mode::Live, operation),
        (&stranger, Mode::Test, operation),
        (&process, Mode::Test, mint()),
    ] {
        assert_eq!(get(process, (mode, operation)).await, Err(gone()));
        assert_eq!(delete(process, (mode, operation)).await, Err(gone()));
    }
    // Another account may have one of the same bits, which nobody can choose.
    assert!(keep(&stranger, (Mode::Test, operation), response("wolves?")).await);
    assert_eq!(
        get(&process, (Mode::Test, operation)).await,
        Ok(response("foxes?"))
    );
    let sealed = house.responses().await;
    assert_eq!(sealed.len(), 2);
    for content in sealed.into_iter().flatten().flatten() {
        let text = String::from_utf8_lossy(&content).into_owned();
        assert!(
            !text.contains("foxes") && !text.contains("wolves"),
            "{text}"
        );
    }
}

async fn what_is_kept_first_stays_and_what_is_deleted_does_not_come_back(engine: Engine) {
    let house = House::new(engine).await;
    let process = house.process().await;
    let place = (Mode::Test, mint::<ids::Operation>());
    assert!(keep(&process, place, response("first")).await);
    assert!(keep(&process, place, response("second")).await);
    assert_eq!(get(&process, place).await, Ok(response("first")));
    assert_eq!(delete(&process, place).await, Ok(()));
    assert_eq!(get(&process, place).await, Err(gone()));
    assert_eq!(delete(&process, place).await, Err(gone()));
    // As a replay of its request would have it.
    assert!(keep(&process, place, response("first")).await);
    assert_eq!(get(&process, place).await, Err(gone()));
    assert_eq!(house.responses().await, [[None, None]]);
}

async fn a_long_one_is_not_kept_and_an_old_one_is_forgotten(engine: Engine) {
    let settings = "[limits.chat.replay]";
    let short =
        "[limits.responses]\n    kept = '1ms'\n    max_bytes = 100\n    [limits.chat.replay]";
    let house = House::new(engine).await.with(settings, short);
    let process = house.process().await;
    let place = (Mode::Test, mint::<ids::Operation>());
    assert!(!keep(&process, place, response(&"x".repeat(100))).await);
    assert_eq!(house.responses().await.len(), 0);
    assert!(keep(&process, place, response("short")).await);
    eventually("it is forgotten", async || {
        house.responses().await.is_empty()
    })
    .await;
    assert_eq!(get(&process, place).await, Err(gone()));
}

async fn what_does_not_open_is_not_there(engine: Engine) {
    let house = House::new(engine).await;
    let place = (Mode::Test, mint::<ids::Operation>());
    let process = house.process().await;
    assert!(keep(&process, place, response("foxes?")).await);
    let house = house.with_other_secrets();
    let other = house.process().await;
    assert_eq!(get(&other, place).await, Err(gone()));
}
