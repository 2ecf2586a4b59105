//! Whatever file comes, it is measured to an end.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| media::fuzzing::file(data));
