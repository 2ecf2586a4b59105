//! The wire: generated tonic code, conversions between wire and [`domain`], and the one fault table.
//! Nothing here decides anything.

mod codec;
mod codes;
mod convert;
pub mod direct;
mod fault;

pub use codes::{ALL as CODES, Code, Retry};
pub use convert::{
    WireError, context_from_wire, id_from_wire, mode_from_wire, mode_to_wire,
    price_factor_from_wire,
};
pub use fault::{Fault, Kind, Violation};

/// The services as an encoded `FileDescriptorSet`: what gRPC's reflection tells.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The published codes, by name.
pub mod code {
    pub use crate::codes::list::*;
}

macro_rules! wire {
    ($($name:ident ($($lint:path),*))*) => { $(
        #[doc = concat!("Generated from `proto/aio/", stringify!($name), "/v1`.")]
        pub mod $name {
            #[doc = concat!("Generated from `proto/aio/", stringify!($name), "/v1`.")]
            #[expect(missing_docs, $($lint,)* reason = "generated code; its comments are in the proto files")]
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/aio.", stringify!($name), ".v1.rs"));
            }
        }
    )* };
}
wire! {
    common()
    billing(unused_qualifications, clippy::allow_attributes, clippy::allow_attributes_without_reason, clippy::as_conversions, clippy::too_many_lines)
    chat(unused_qualifications, clippy::allow_attributes, clippy::allow_attributes_without_reason, clippy::as_conversions, clippy::too_many_lines)
    media(unused_qualifications, clippy::allow_attributes, clippy::allow_attributes_without_reason, clippy::as_conversions, clippy::too_many_lines)
    webhooks(unused_qualifications, clippy::allow_attributes, clippy::allow_attributes_without_reason, clippy::as_conversions, clippy::too_many_lines)
}
