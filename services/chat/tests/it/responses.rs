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
    an_account_keeps_what_it_has_room_for,
    what_is_forgotten_makes_room,
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

async fn an_account_keeps_what_it_has_room_for(engine: Engine) {
    let settings = "[limits.chat.replay]";
    let little = "[limits.responses]\n    max_total_bytes = 1000\n    [limits.chat.replay]";
    let house = House::new(engine).await.with(settings, little);
    let process = house.process().await;
    let mut kept = Vec::new();
    loop {
        let place = (Mode::Test, mint::<ids::Operation>());
        if !keep(&process, place, response("foxes?")).await {
            assert_eq!(get(&process, place).await, Err(gone()));
            break;
        }
        kept.push(place);
        assert!(kept.len() < 50, "there is no end to it");
    }
    assert!(kept.len() > 1);
    assert_eq!(house.responses().await.len(), kept.len());
    // Others have room of their own.
    let stranger = process.of(&house.stranger());
    assert!(keep(&stranger, (Mode::Test, mint()), response("wolves?")).await);
    assert!(keep(&process, (Mode::Live, mint()), response("wolves?")).await);
    // What is deleted makes room for one, once.
    assert_eq!(delete(&process, kept[0]).await, Ok(()));
    assert_eq!(delete(&process, kept[0]).await, Err(gone()));
    assert!(keep(&process, (Mode::Test, mint()), response("foxes?")).await);
    assert!(!keep(&process, (Mode::Test, mint()), response("foxes?")).await);
}

/// What is forgotten makes room as well, and what was there already takes none twice.
async fn what_is_forgotten_makes_room(engine: Engine) {
    let settings = "[limits.chat.replay]";
    let short =
        "[limits.responses]\n    kept = '1ms'\n    max_total_bytes = 200\n    [limits.chat.replay]";
    let house = House::new(engine).await.with(settings, short);
    let process = house.process().await;
    for _ in 0..3 {
        let place = (Mode::Test, mint::<ids::Operation>());
        assert!(keep(&process, place, response("foxes?")).await);
        eventually("it is forgotten", async || {
            house.responses().await.is_empty()
        })
        .await;
    }
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
