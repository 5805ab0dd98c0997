//! The gateway's core, three devices, an outsider, a network and a store that fail.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sga_tests::fuzzing::gateway(data);
});
