//! Amounts, moments, ids and keys are written as they are read.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| domain::fuzzing::words(data));
