//! Nobody but a provider that signs is heard.
#![no_main]

use std::sync::LazyLock;

use media::fuzzing::{Adapters, callback};
use tokio::runtime::Runtime;

static ADAPTERS: LazyLock<Option<Adapters>> = LazyLock::new(|| Adapters::new().ok());
static RUNTIME: LazyLock<Option<Runtime>> = LazyLock::new(|| Runtime::new().ok());

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let (Some(adapters), Some(runtime)) = (&*ADAPTERS, &*RUNTIME) {
        runtime.block_on(callback(adapters, data));
    }
});
