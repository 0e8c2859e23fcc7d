//! Random numbers. With them, the nodes of a cluster do not do the same at the same time, and two
//! agents on one node choose different names.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// A random number. It may be guessed, so it is not for secrets. The keys of a hash map are random
/// enough, and need no crate.
pub fn number() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A random number from 0 up to, and without, 1.
pub fn fraction() -> f64 {
    let bits = number() >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::fraction;

    #[test]
    fn chance_stays_within_bounds_and_varies() {
        let drawn: Vec<f64> = (0..1000).map(|_| fraction()).collect();
        assert!(drawn.iter().all(|r| (0.0..1.0).contains(r)));
        let mean = drawn.iter().sum::<f64>() / 1000.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
    }
}
