//! Peers, network, application and time against a CoAP endpoint.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sga_tests::fuzzing::endpoint(data));
