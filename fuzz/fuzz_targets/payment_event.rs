//! Only what the payment provider signed is believed.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| billing::fuzzing::payment_event(data));
