//! Nothing costs more than was held for it, by whatever model file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| domain::fuzzing::prices(data));
