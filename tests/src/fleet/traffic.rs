//! What was sent, acknowledged and delivered, and how the three fit.

use std::collections::HashSet;
use std::fmt;

/// The texts of one device to its peer, numbered from 0. Everything about a text follows from its number, so that it can be
/// checked where it arrives.
#[derive(Clone, Debug)]
pub struct Traffic {
    from: String,
    /// Bytes of a text, by its number.
    len: fn(u32) -> usize,
    /// Texts that were sealed so far: the number of the next.
    sealed: u32,
    /// Numbers that the gateway has acknowledged.
    acknowledged: Vec<u32>,
    /// What the peer's application was handed, in order.
    delivered: Vec<Vec<u8>>,
}

impl Traffic {
    pub(super) fn new(from: String, len: fn(u32) -> usize) -> Self {
        Self { from, len, sealed: 0, acknowledged: Vec::new(), delivered: Vec::new() }
    }

    /// The text of a number.
    fn text(&self, number: u32) -> Vec<u8> {
        let head = format!("{} {number} ", self.from);
        let len = (self.len)(number).max(head.len());
        head.bytes().chain((0..=255).cycle().skip(number as usize % 256)).take(len).collect()
    }

    /// The number in a text that is one of these, to the last byte.
    fn number(&self, text: &[u8]) -> Option<u32> {
        let mut words = text.splitn(3, |&byte| byte == b' ');
        let number = words.nth(1).and_then(|word| std::str::from_utf8(word).ok()?.parse().ok())?;
        (number < self.sealed && self.text(number) == text).then_some(number)
    }

    pub(super) fn next(&self) -> (u32, Vec<u8>) {
        (self.sealed, self.text(self.sealed))
    }

    pub(super) fn sealed(&mut self) {
        self.sealed += 1;
    }

    pub(super) fn acknowledge(&mut self, number: u32) {
        self.acknowledged.push(number);
    }

    /// Takes over what the other end was handed.
    pub(super) fn deliver(&mut self, texts: &[Vec<u8>]) {
        self.delivered = texts.to_vec();
    }

    /// Texts that the gateway has acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// Bytes of the texts that the gateway has acknowledged.
    #[must_use]
    pub fn acknowledged_bytes(&self) -> usize {
        self.acknowledged.iter().map(|&number| self.text(number).len()).sum()
    }

    /// Texts that were sealed so far.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.sealed
    }

    /// Numbers that the gateway has acknowledged and that never arrived.
    #[must_use]
    pub fn lost(&self) -> Vec<u32> {
        let arrived: HashSet<u32> = self.delivered.iter().filter_map(|text| self.number(text)).collect();
        self.acknowledged.iter().copied().filter(|number| !arrived.contains(number)).collect()
    }

    /// How the three fit.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let mut verdict = Verdict { acknowledged: self.acknowledged.len(), ..Verdict::default() };
        let mut seen = HashSet::new();
        let mut highest = None;
        for text in &self.delivered {
            match self.number(text) {
                None => verdict.strange += 1,
                Some(number) if !seen.insert(number) => verdict.twice += 1,
                Some(number) if Some(number) < highest => verdict.disordered += 1,
                Some(number) => {
                    highest = Some(number);
                    verdict.delivered += 1;
                }
            }
        }
        verdict.lost = self.lost().len();
        verdict
    }
}

/// How what was delivered fits what was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Texts that the gateway has acknowledged.
    pub acknowledged: usize,
    /// Texts that arrived as they should.
    pub delivered: usize,
    /// Acknowledged, but never delivered.
    pub lost: usize,
    /// Delivered again.
    pub twice: usize,
    /// Delivered, but never sent.
    pub strange: usize,
    /// Delivered after one that was sent later.
    pub disordered: usize,
}

impl Verdict {
    /// Nothing but what was sent, once and in order; something may be missing.
    #[must_use]
    pub fn is_true(&self) -> bool {
        (self.twice, self.strange, self.disordered) == (0, 0, 0)
    }

    /// And nothing is missing that was acknowledged.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_true() && self.lost == 0
    }
}

impl std::iter::Sum for Verdict {
    fn sum<I: Iterator<Item = Self>>(verdicts: I) -> Self {
        verdicts.fold(Self::default(), |a, b| Self {
            acknowledged: a.acknowledged + b.acknowledged,
            delivered: a.delivered + b.delivered,
            lost: a.lost + b.lost,
            twice: a.twice + b.twice,
            strange: a.strange + b.strange,
            disordered: a.disordered + b.disordered,
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, lost, twice, strange, disordered, .. } = self;
        write!(
            f,
            "{acknowledged} acknowledged, {lost} lost, {twice} twice, {strange} never sent, {disordered} disordered"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five sealed, the first three acknowledged.
    fn traffic(delivered: impl Fn(&Traffic) -> Vec<Vec<u8>>) -> Verdict {
        let mut traffic = Traffic::new("a".into(), |number| number as usize * 10);
        (0..5).for_each(|_| traffic.sealed());
        (0..3).for_each(|number| traffic.acknowledge(number));
        traffic.delivered = delivered(&traffic);
        traffic.verdict()
    }

    #[test]
    fn a_judge_sees_each_kind_of_fault() {
        let numbers = |numbers: &'static [u32]| {
            move |traffic: &Traffic| numbers.iter().map(|&number| traffic.text(number)).collect()
        };
        assert!(traffic(numbers(&[0, 1, 2])).is_whole());
        assert!(traffic(numbers(&[0, 1, 2, 4])).is_whole(), "what was never acknowledged may come or not");
        assert_eq!(traffic(numbers(&[0, 2])).lost, 1);
        assert_eq!(traffic(numbers(&[0, 1, 1, 2])).twice, 1);
        assert_eq!(traffic(numbers(&[0, 2, 1])).disordered, 1);
        assert_eq!(traffic(numbers(&[0, 1, 2, 5])).strange, 1, "not sealed");
        let changed = |traffic: &Traffic| {
            let mut texts: Vec<_> = (0..3).map(|number| traffic.text(number)).collect();
            *texts[2].last_mut().expect("not empty") ^= 1;
            texts
        };
        let verdict = traffic(changed);
        assert_eq!((verdict.strange, verdict.lost), (1, 1));
    }
}
