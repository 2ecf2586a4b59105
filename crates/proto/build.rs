//! Generates the wire types from `proto/`, without an installed protoc.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new("../../proto");
    let files = [
        "aio/common/v1/common.proto",
        "aio/billing/v1/billing.proto",
        "aio/chat/v1/chat.proto",
        "aio/media/v1/media.proto",
        "aio/webhooks/v1/webhooks.proto",
    ];
    let descriptors = protox::compile(files, [root])?;
    let mut prost = tonic_prost_build::Config::new();
    prost.bytes(["."]);
    tonic_prost_build::configure()
        .build_transport(false)
        .compile_fds_with_config(descriptors, prost)?;
    println!("cargo:rerun-if-changed=../../proto");
    Ok(())
}
