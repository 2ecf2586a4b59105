//! However a stream is cut, the same events come out of it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| upstream::fuzzing::events(data));
