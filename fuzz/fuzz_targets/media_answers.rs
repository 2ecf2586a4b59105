//! Whatever a provider of media answers, its adapter comes to an end with it. The first byte says which adapter, and which status.
#![no_main]

use std::sync::LazyLock;

use fuzz::House;
use media::fuzzing::Adapters;

static HOUSE: LazyLock<Option<House>> = LazyLock::new(House::start);
static ADAPTERS: LazyLock<Option<Adapters>> = LazyLock::new(|| Adapters::new().ok());

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some(((first, body), (house, adapters))) = data
        .split_first()
        .zip(HOUSE.as_ref().zip(ADAPTERS.as_ref()))
    else {
        return;
    };
    let statuses = [200, 200, 200, 202, 400, 404, 429, 500];
    let status = statuses[usize::from(*first) % statuses.len()];
    let name = Adapters::names()
        .cycle()
        .nth(body.iter().map(|byte| usize::from(*byte)).sum());
    house.parrot.says(status, body);
    if let Some(name) = name {
        house.runtime.block_on(adapters.meet(name, &house.origin));
    }
});
