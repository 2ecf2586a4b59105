//! Whatever a provider of chat answers, its adapter comes to an end with it, and JSON stays JSON.
#![no_main]

use std::sync::LazyLock;

use chat::fuzzing::{Adapters, added};
use fuzz::House;

static HOUSE: LazyLock<Option<House>> = LazyLock::new(House::start);
static ADAPTERS: LazyLock<Option<Adapters>> = LazyLock::new(Adapters::new);

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some(((first, body), (house, adapters))) = data
        .split_first()
        .zip(HOUSE.as_ref().zip(ADAPTERS.as_ref()))
    else {
        return;
    };
    added(body);
    house
        .parrot
        .says(if first % 4 == 3 { 429 } else { 200 }, body);
    house.runtime.block_on(adapters.meet(&house.origin));
});
