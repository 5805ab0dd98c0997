//! Any bytes against every decoder of the schema.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sga_tests::fuzzing::schema(data);
});
