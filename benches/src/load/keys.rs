//! Which stream a command goes to.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// An endless, seeded sequence of indices from 0 to `streams` - 1.
#[derive(Clone, Debug)]
pub struct Keys {
    random: StdRng,
    streams: u64,
    /// Share of all draws that falls on indices up to and including each; none: all are as likely.
    ///
    /// A table, because it is exact, quick, and needs nothing: `rand_distr` turns on a feature of `num-traits` that nothing
    /// else has, and with it everything below would be compiled twice.
    cumulative: Option<Arc<[f64]>>,
}

impl Keys {
    /// Every stream as often as any other.
    pub fn uniform(streams: u64, seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), streams: streams.max(1), cumulative: None }
    }

    /// Stream i 1 / (i + 1) times as often as stream 0. Takes 8 bytes a stream.
    pub fn zipf(streams: u64, seed: u64) -> Self {
        let keys = Self::uniform(streams, seed);
        let weights = (1..=keys.streams).map(|rank| 1.0 / rank as f64);
        let mut sum = 0.0;
        let mut cumulative: Vec<f64> = weights
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        cumulative.iter_mut().for_each(|share| *share /= sum);
        Self { cumulative: Some(cumulative.into()), ..keys }
    }

    /// The same distribution from another seed.
    #[must_use]
    pub fn reseeded(&self, seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), ..self.clone() }
    }

    /// The next index.
    pub fn next_index(&mut self) -> u64 {
        match &self.cumulative {
            None => self.random.random_range(0..self.streams),
            Some(cumulative) => {
                let share: f64 = self.random.random();
                (cumulative.partition_point(|upto| *upto <= share) as u64).min(self.streams - 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(mut keys: Keys) -> Vec<u32> {
        let mut counts = vec![0; 100];
        for _ in 0..100_000 {
            counts[usize::try_from(keys.next_index()).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn the_same_seed_gives_the_same_keys() {
        let keys = Keys::uniform(100, 1);
        let [one, same, other] = [7, 7, 8].map(|seed| counts(keys.reseeded(seed)));
        assert_eq!(one, same);
        assert_ne!(one, other);
    }

    #[test]
    fn uniform_keys_are_even_and_zipf_keys_are_not() {
        let even = counts(Keys::uniform(100, 1));
        assert!(even.iter().all(|count| (800..1_200).contains(count)), "{even:?}");
        // Of 100 streams the first gets 1 / (1 + 1/2 + … + 1/100) = 19.3 %.
        let uneven = counts(Keys::zipf(100, 1));
        assert!((18_500..20_000).contains(&uneven[0]) && uneven[0] > 8 * uneven[9], "{uneven:?}");
        assert!(uneven[99] > 0, "{uneven:?}");
    }
}
