//! Generates the wire types from `proto/`, without an installed protoc.

#[path = "build/callers.rs"]
mod callers;

use std::{
    fs,
    path::{Path, PathBuf},
};

use prost::Message as _;

use callers::WithCallers;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new("../../proto");
    let files = [
        "aio/common/v1/common.proto",
        "aio/billing/v1/billing.proto",
        "aio/billing/v1/usage.proto",
        "aio/billing/v1/keys.proto",
        "aio/billing/v1/orders.proto",
        "aio/billing/v1/prices.proto",
        "aio/billing/v1/operator.proto",
        "aio/chat/v1/chat.proto",
        "aio/chat/v1/operator.proto",
        "aio/media/v1/media.proto",
        "aio/media/v1/files.proto",
        "aio/media/v1/operator.proto",
        "aio/webhooks/v1/webhooks.proto",
        "aio/webhooks/v1/manage.proto",
    ];
    let descriptors = protox::compile(files, [root])?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let mut prost = tonic_prost_build::Config::new();
    prost.bytes(["."]);
    let tonic = tonic_prost_build::configure()
        .build_transport(false)
        .codec_path("crate::codec::Small")
        .service_generator();
    prost.service_generator(Box::new(WithCallers(tonic)));
    prost.compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=../../proto");
    Ok(())
}
