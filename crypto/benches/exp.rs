//! What the public-key operations cost: `cargo bench -p sga-crypto`. Medians of single calls, in microseconds.
#![expect(clippy::disallowed_methods, reason = "measures time")]
#![expect(clippy::print_stdout, reason = "its result")]

use std::hint::black_box;
use std::time::Instant;

use sga_crypto::accelerator::{make_half, verify_half};
use sga_crypto::{Element, GroupId, Seed, steps};

const CALLS: usize = 201;

fn measure<T>(group: GroupId, name: &str, mut call: impl FnMut() -> T) {
    let mut times = [0.0; CALLS];
    for time in &mut times {
        let start = Instant::now();
        black_box(call());
        *time = start.elapsed().as_secs_f64() * 1e6;
    }
    times.sort_by(f64::total_cmp);
    println!("{:<14}{name:<16}{:>9.1}", format!("{group:?}"), times[CALLS / 2]);
}

fn main() {
    for group in [1, 2, 3].map(|profile| GroupId::from_profile(profile).expect("default features have all")) {
        let [pr, r, big_r] = [1, 2, 3].map(|byte| Seed::from_bytes([byte; 32]));
        let public = group.exp_base(&pr);
        measure(group, "g^x", || group.exp_base(black_box(&r)));
        measure(group, "e^x", || group.exp(black_box(&public), black_box(&r)));
        measure(group, "parse", || Element::parse(group, black_box(public.as_bytes())));
        measure(group, "make half", || make_half(group, &public, black_box(&big_r), &r));
        let half = make_half(group, &public, &big_r, &r);
        let (n, f) = (half.element.as_bytes(), half.trapdoor.as_bytes());
        let tag = steps::b_tag(&half.key, 0, 1, &[0; 32], n, f);
        measure(group, "verify half", || {
            verify_half(group, &pr, &public, n, f, &tag, 0, 1, &[0; 32]).expect("verifies")
        });
    }
}
