//! Tables of what is translated, and into what.

mod answers;
mod requests;
mod streams;

use bytes::Bytes;
use domain::OperationId;
use proto::{Fault, chat::v1::KeptResponse};
use serde_json::{Value, json};

use super::{
    answer, id_of, items, operation_of, renamed,
    request::{Found, fields, read},
    turn::{Closed, Kept, Turn},
};

/// The first operation of 2026.
fn operation() -> OperationId {
    OperationId::from_uuid("019b76da-a800-7000-8000-000000000001".parse().unwrap())
}

fn open(body: &Value, earlier: Option<&str>) -> Result<(Turn, Value), Fault> {
    let (fields, _) = fields(&Bytes::from(body.to_string()))?;
    let asked = read(fields, &Found::new())?;
    let (turn, body) = Turn::open(asked, earlier.map(str::as_bytes));
    Ok((turn, serde_json::from_slice(&body).unwrap()))
}

/// What chat is asked.
fn chat(body: &Value) -> Value {
    open(body, None).unwrap().1
}

/// With this input, the messages that chat is sent.
fn messages(input: Value) -> Value {
    chat(&json!({ "model": "m", "input": input }))["messages"].take()
}

/// The fields that are wrong.
fn wrong(body: &Value) -> Vec<String> {
    let fault = open(body, None).unwrap_err();
    let params = fault.violations.into_iter().map(|wrong| wrong.param);
    let params: Vec<String> = params.collect();
    if params.is_empty() {
        fault.param.into_iter().collect()
    } else {
        params
    }
}

fn turn(body: &Value) -> Turn {
    open(body, None).unwrap().0
}

fn closed(turn: &Turn, answer: &Value) -> Closed {
    answer::read(turn, answer.to_string().as_bytes(), operation()).unwrap()
}

fn conversation(kept: &KeptResponse) -> Value {
    serde_json::from_slice(&kept.conversation).unwrap()
}
