//! A URL that a customer gives leads nowhere inside.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| upstream::fuzzing::url(data));
