//! A device's core against a gateway that holds all keys and lies.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sga_tests::fuzzing::device(data);
});
