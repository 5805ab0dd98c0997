//! Welch's t-test over two classes of times, whole and with the slowest cut off: the instrument of "dude, is my code constant
//! time?" (Reparaz, Balasch, Verbauwhede, 2017).

/// Parts of the samples that are kept, from the fastest on: what is cut off is mostly what else the machine did.
pub(crate) const KEPT: [f64; 6] = [1.0, 0.99, 0.95, 0.9, 0.75, 0.5];

/// From here on two classes are told apart.
pub(crate) const FOUND: f64 = 4.5;

/// What was measured of one question.
pub(crate) struct Finding {
    pub(crate) samples: [usize; 2],
    /// In nanoseconds.
    pub(crate) means: [f64; 2],
    /// For each of [`KEPT`].
    pub(crate) t: [f64; KEPT.len()],
}

impl Finding {
    /// The t that is furthest from zero.
    pub(crate) fn worst(&self) -> f64 {
        self.t.iter().copied().fold(0.0, |worst: f64, t| if t.abs() > worst.abs() { t } else { worst })
    }

    pub(crate) fn is_found(&self) -> bool {
        self.worst().abs() >= FOUND
    }
}

fn moments(times: &[u64], limit: u64) -> (f64, f64, f64) {
    let kept = times.iter().filter(|&&time| time <= limit).map(|&time| time as f64);
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for time in kept {
        // Welford's update.
        count += 1.0;
        let delta = time - mean;
        mean += delta / count;
        squares += delta * (time - mean);
    }
    (count, mean, if count > 1.0 { squares / (count - 1.0) } else { 0.0 })
}

fn welch(times: &[Vec<u64>; 2], limit: u64) -> f64 {
    let [(n0, mean0, variance0), (n1, mean1, variance1)] = [0, 1].map(|class: usize| moments(&times[class], limit));
    let error = (variance0 / n0.max(1.0) + variance1 / n1.max(1.0)).sqrt();
    if error > 0.0 { (mean0 - mean1) / error } else { 0.0 }
}

/// Compares two classes of times in nanoseconds. The limits of what is kept are the same for both.
pub(crate) fn compare(times: &[Vec<u64>; 2]) -> Finding {
    let mut all: Vec<u64> = times.iter().flatten().copied().collect();
    all.sort_unstable();
    let limit = |kept: f64| all.get(((all.len() as f64 * kept) as usize).saturating_sub(1)).copied().unwrap_or(0);
    Finding {
        samples: [times[0].len(), times[1].len()],
        means: [0, 1].map(|class: usize| moments(&times[class], limit(0.95)).1),
        t: KEPT.map(|kept| welch(times, limit(kept))),
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha12Rng;
    use rand_core::{Rng, SeedableRng};

    use super::*;

    /// Times around 1,000 ns, a few far out; the second class slower by so much.
    fn times(slower: u64) -> [Vec<u64>; 2] {
        let mut rng = ChaCha12Rng::from_seed([1; 32]);
        let mut time = || {
            let spread: u64 = (0..8).map(|_| u64::from(rng.next_u32() % 50)).sum();
            800 + spread + if rng.next_u32().is_multiple_of(200) { 100_000 } else { 0 }
        };
        [(0..50_000).map(|_| time()).collect(), (0..50_000).map(|_| time() + slower).collect()]
    }

    #[test]
    fn a_difference_is_found_and_none_is_not() {
        assert!(!compare(&times(0)).is_found());
        let found = compare(&times(2));
        assert!(found.is_found() && found.worst() < 0.0, "the first is faster: {:?}", found.t);
        assert!(found.t[0].abs() < FOUND, "only once what else the machine did is cut off");
    }

    #[test]
    fn nothing_is_compared_without_harm() {
        assert!(!compare(&[Vec::new(), vec![1]]).is_found());
        assert!(!compare(&[vec![5; 10], vec![5; 10]]).is_found());
    }
}
