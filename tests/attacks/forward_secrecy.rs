//! PR and both k_d leak, later (the paper's section 5, "perfect forward secrecy").
//!
//! The attacker has recorded everything that went over the network, and one day gets the gateway's private key and both devices'
//! registered keys. It wants the texts. It gets everything else: each layer is opened here with what leaked, down to N, K and Y. The
//! session element is N_i^(R_j R_s) = Y_i^(R_i), and R_i, R_j, R_s were in memory for one run only.

use sga_crypto::Element;
use sga_schema::Profile;

use crate::support::opener::{open_by_element, texts};
use crate::support::taped::{self, ALICE, BOB, Run};

/// All elements that the attacker has, and can reach by exponents that it has.
fn reach(run: &Run, deep: usize) -> Vec<Element> {
    let pair = &run.world.gateway.keys().pair;
    let [n_i, n_j] = [ALICE, BOB].map(|device| run.half(device).0);
    let [y_i, y_j] = [ALICE, BOB].map(|device| run.b6(device).0);
    let exponents = [pair.secret.duplicate(), run.r(ALICE), run.r(BOB)];
    let mut reach = vec![pair.public.clone(), n_i, n_j, y_i, y_j, run.k_s(ALICE), run.k_s(BOB)];
    for _ in 0..deep {
        let further: Vec<_> =
            reach.iter().flat_map(|base| exponents.iter().map(|by| run.group().exp(base, by))).collect();
        reach.extend(further);
    }
    reach
}

#[test]
fn what_was_recorded_stays_shut() {
    for (profile, deep) in [(Profile::Compact, 2), (Profile::Classic, 1)] {
        let run = taped::run(profile);
        let texts = texts(&run);
        assert_eq!(texts.len(), 2, "one each way");
        // `reach` opens A1, A3, both Halves and both B6 on its way: each would stop here if it did not.
        for element in reach(&run, deep) {
            assert!(open_by_element(&run, &texts, &element).is_empty(), "{profile}: a text is open");
        }
        // The control: with R of either end the same code reads both texts.
        for device in [ALICE, BOB] {
            let big_r = run.ephemeral(device, &run.half(device).0);
            let element = run.group().exp(&run.b6(device).0, &big_r);
            let mut opened = open_by_element(&run, &texts, &element);
            opened.sort();
            assert_eq!(opened, [&b"hello alice"[..], b"hello bob"], "{profile}");
        }
    }
}

/// What leaks with k_d is who spoke with whom, and the keys of the layers around: said in `docs/security.md`, shown here.
#[test]
fn who_spoke_with_whom_does_not() {
    let run = taped::run(Profile::Compact);
    assert_eq!((run.a1().id_i.as_bytes(), run.a1().id_j.as_bytes()), (&b"alice"[..], &b"bob"[..]));
}
