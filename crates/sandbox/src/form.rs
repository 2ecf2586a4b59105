//! The fields of a request that is JSON, or a form (RFC 7578) where files go in: those are URLs then, with their bytes.

use std::convert::Infallible;

use axum::body::Bytes;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::stream;
use http::{HeaderMap, header};
use multer::Multipart;
use serde_json::{Map, Value};

/// Reads them, or says what is wrong.
pub(crate) async fn fields(headers: &HeaderMap, body: Bytes) -> Result<Map<String, Value>, String> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match multer::parse_boundary(kind) {
        Ok(boundary) => form(body, boundary).await,
        Err(_) => serde_json::from_slice(&body)
            .map_err(|_| "the body is neither JSON nor a form".to_owned()),
    }
}

/// The fields of a form. A name that comes several times is a list.
async fn form(body: Bytes, boundary: String) -> Result<Map<String, Value>, String> {
    let broken = |_: multer::Error| "the form is broken".to_owned();
    let parts = stream::iter([Ok::<_, Infallible>(body)]);
    let mut form = Multipart::new(parts, boundary);
    let mut fields: Map<String, Value> = Map::new();
    while let Some(field) = form.next_field().await.map_err(broken)? {
        let name = field.name().unwrap_or_default().to_owned();
        let kind = field.content_type().map(ToString::to_string);
        let is_file = field.file_name().is_some();
        let bytes = field.bytes().await.map_err(broken)?;
        let value = if is_file {
            let kind = kind.unwrap_or_default();
            if bytes.is_empty() || !kind.starts_with("image/") {
                return Err(format!("{name} is no picture"));
            }
            format!("data:{kind};base64,{}", STANDARD.encode(&bytes))
        } else {
            String::from_utf8_lossy(&bytes).into_owned()
        };
        match fields.get_mut(&name) {
            Some(Value::Array(list)) => list.push(value.into()),
            Some(first) => *first = Value::Array(vec![first.take(), value.into()]),
            None => drop(fields.insert(name, value.into())),
        }
    }
    Ok(fields)
}
