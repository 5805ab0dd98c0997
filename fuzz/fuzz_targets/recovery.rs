//! The store on a disk that loses power and changes what it holds.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: sga_tests::fuzzing::keep_quiet_where_guarded(),
    |data: &[u8]| {
        sga_tests::fuzzing::recovery(data);
    }
);
