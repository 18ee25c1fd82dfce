//! Random primes for RSA keys.
//!
//! Charts make keys by the dozen, and general big numbers are slow at it.
//! Candidates are sieved, then tested by Miller and Rabin in Montgomery's form
//! over a fixed number of words (Handbook of Applied Cryptography, 4.24, 14.36
//! and 14.94).

/// Primes up to here are sieved with.
const SIEVED: usize = 8192;
/// Odd candidates after a random start that are looked at.
const WINDOW: usize = 2048;
/// Rounds with random bases, after one with base 2. Five are enough for 1024
/// random bits (FIPS 186-5, table B.1).
const ROUNDS: usize = 5;
/// The public exponent, which must not divide one less than the prime.
pub(super) const EXPONENT: u64 = 65_537;

/// A prime of `L` words with its two highest bits set, big-endian.
pub(super) fn prime<const L: usize>(mut random: impl FnMut(&mut [u8])) -> Vec<u8> {
    let small = small_primes();
    loop {
        let mut start: [u64; L] = number(&mut random);
        if let Some(lowest) = start.first_mut() {
            *lowest |= 1;
        }
        if let Some(highest) = start.last_mut() {
            *highest |= 3 << 62;
        }
        for step in sieve(&start, &small) {
            let Some(candidate) = plus(&start, 2 * step as u64) else {
                break;
            };
            let suits_exponent = remainder(&candidate, EXPONENT) != 1;
            if suits_exponent && is_prime(&candidate, &mut random) {
                return candidate
                    .iter()
                    .rev()
                    .flat_map(|word| word.to_be_bytes())
                    .collect();
            }
        }
    }
}

fn number<const L: usize>(random: &mut impl FnMut(&mut [u8])) -> [u64; L] {
    std::array::from_fn(|_| {
        let mut word = [0; 8];
        random(&mut word);
        u64::from_le_bytes(word)
    })
}

fn small_primes() -> Vec<u64> {
    let mut composite = vec![false; SIEVED];
    let mut primes = Vec::new();
    for n in (3..SIEVED).step_by(2) {
        if composite.get(n).copied().unwrap_or(true) {
            continue;
        }
        primes.push(n as u64);
        for multiple in composite.iter_mut().skip(n * n).step_by(n) {
            *multiple = true;
        }
    }
    primes
}

/// The steps of two from `start` that no small prime divides.
fn sieve<const L: usize>(start: &[u64; L], small: &[u64]) -> Vec<usize> {
    let mut composite = vec![false; WINDOW];
    for &p in small {
        // start + 2 * step = 0 (mod p); half of an odd p is (p + 1) / 2.
        let missing = (p - remainder(start, p)) % p;
        let step = missing * p.div_ceil(2) % p;
        let multiples = composite
            .iter_mut()
            .skip(usize::try_from(step).unwrap_or(0));
        for multiple in multiples.step_by(usize::try_from(p).unwrap_or(1)) {
            *multiple = true;
        }
    }
    let left = composite.iter().enumerate();
    left.filter_map(|(step, composite)| (!composite).then_some(step))
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a remainder is less than its divisor"
)]
fn remainder<const L: usize>(n: &[u64; L], divisor: u64) -> u64 {
    let mut rest = 0_u128;
    for &word in n.iter().rev() {
        rest = (rest << 64 | u128::from(word)) % u128::from(divisor);
    }
    rest as u64
}

fn plus<const L: usize>(n: &[u64; L], mut more: u64) -> Option<[u64; L]> {
    let sum = n.map(|word| {
        let (word, carry) = word.overflowing_add(more);
        more = u64::from(carry);
        word
    });
    (more == 0).then_some(sum)
}

/// Whether an odd number with its highest bit set is prime, but for a chance
/// too small to meet.
fn is_prime<const L: usize>(n: &[u64; L], random: &mut impl FnMut(&mut [u8])) -> bool {
    let field = Montgomery::new(n);
    let two = field.twice(&field.one);
    if !field.passes(&two) {
        return false;
    }
    (0..ROUNDS).all(|_| {
        // A number below `n` in Montgomery's form is as random as any.
        let mut base: [u64; L] = number(random);
        if let Some(highest) = base.last_mut() {
            *highest >>= 1;
        }
        field.passes(&base)
    })
}

/// Arithmetic modulo an odd `n` with its highest bit set, on numbers
/// multiplied by R = 2^(64 L).
struct Montgomery<const L: usize> {
    n: [u64; L],
    /// -1 / n modulo 2^64.
    inverse: u64,
    /// R modulo n.
    one: [u64; L],
    /// -R modulo n.
    minus_one: [u64; L],
}

impl<const L: usize> Montgomery<L> {
    fn new(n: &[u64; L]) -> Self {
        let lowest = n.first().copied().unwrap_or(1);
        // Each step doubles the bits that are right; an odd number is its own
        // inverse modulo 8.
        let inverse = (0..5).fold(lowest, |x, _| {
            x.wrapping_mul(2_u64.wrapping_sub(lowest.wrapping_mul(x)))
        });
        // R - n is less than n, whose highest bit is set.
        let one = minus(&[0; L], n);
        Self {
            n: *n,
            inverse: inverse.wrapping_neg(),
            minus_one: minus(n, &one),
            one,
        }
    }

    /// A round of Miller and Rabin.
    fn passes(&self, base: &[u64; L]) -> bool {
        // n - 1 = odd * 2^twos
        let mut less = self.n;
        if let Some(lowest) = less.first_mut() {
            *lowest &= !1;
        }
        let twos = twos(&less);
        let mut x = self.power(base, &less, twos);
        if x == self.one || x == self.minus_one {
            return true;
        }
        for _ in 1..twos {
            x = self.times(&x, &x);
            if x == self.minus_one {
                return true;
            }
        }
        false
    }

    /// `base` to the power of `exponent >> skipped`.
    fn power(&self, base: &[u64; L], exponent: &[u64; L], skipped: u32) -> [u64; L] {
        let is_two = *base == self.twice(&self.one);
        let bits = 64 * L;
        let mut result = self.one;
        for at in (skipped as usize..bits).rev() {
            result = self.times(&result, &result);
            let word = exponent.get(at / 64).copied().unwrap_or(0);
            if word >> (at % 64) & 1 == 1 {
                result = if is_two {
                    self.twice(&result)
                } else {
                    self.times(&result, base)
                };
            }
        }
        result
    }

    fn twice(&self, a: &[u64; L]) -> [u64; L] {
        let mut carry = 0;
        let doubled = a.map(|word| {
            let shifted = word << 1 | carry;
            carry = word >> 63;
            shifted
        });
        if carry == 1 || !is_less(&doubled, &self.n) {
            minus(&doubled, &self.n)
        } else {
            doubled
        }
    }

    /// a * b / R
    #[expect(clippy::cast_possible_truncation, reason = "words of wider sums")]
    // Every index is below L; this loop is where a key's time goes.
    fn times(&self, a: &[u64; L], b: &[u64; L]) -> [u64; L] {
        let modulus = &self.n;
        let mut sum = [0_u64; L];
        let mut highest = 0_u64;
        let mut word = 0;
        while word < L {
            let factor = u128::from(a[word]);
            let mut carry = 0_u128;
            let mut at = 0;
            while at < L {
                let wide = u128::from(sum[at]) + factor * u128::from(b[at]) + carry;
                sum[at] = wide as u64;
                carry = wide >> 64;
                at += 1;
            }
            let top = u128::from(highest) + carry;
            let factor = u128::from(sum[0].wrapping_mul(self.inverse));
            let mut carry = (u128::from(sum[0]) + factor * u128::from(modulus[0])) >> 64;
            let mut at = 1;
            while at < L {
                let wide = u128::from(sum[at]) + factor * u128::from(modulus[at]) + carry;
                sum[at - 1] = wide as u64;
                carry = wide >> 64;
                at += 1;
            }
            let wide = top + carry;
            sum[L - 1] = wide as u64;
            highest = (wide >> 64) as u64;
            word += 1;
        }
        if highest == 1 || !is_less(&sum, modulus) {
            minus(&sum, modulus)
        } else {
            sum
        }
    }
}

/// How many times two divides a number that is not zero.
fn twos<const L: usize>(n: &[u64; L]) -> u32 {
    let zeros = n.iter().take_while(|word| **word == 0).count();
    let rest = n.get(zeros).map_or(0, |word| word.trailing_zeros());
    u32::try_from(zeros).unwrap_or(0) * 64 + rest
}

/// a - b modulo R.
fn minus<const L: usize>(a: &[u64; L], b: &[u64; L]) -> [u64; L] {
    let mut borrow = false;
    let mut less = b.iter();
    a.map(|word| {
        let by = less.next().copied().unwrap_or(0);
        let (first, one) = word.overflowing_sub(by);
        let (rest, two) = first.overflowing_sub(u64::from(borrow));
        borrow = one || two;
        rest
    })
}

fn is_less<const L: usize>(a: &[u64; L], b: &[u64; L]) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repeatable source that is random enough for a test.
    fn source(mut state: u64) -> impl FnMut(&mut [u8]) {
        move |buffer| {
            for byte in buffer {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *byte = state.to_le_bytes()[3];
            }
        }
    }

    #[test]
    fn primes_and_composites_are_told_apart() {
        let random = &mut source(7);
        // The largest primes below 2^64 and 2^128, and their neighbours.
        for (n, prime) in [
            (u64::MAX - 58, true),
            (u64::MAX - 56, false),
            (u64::MAX, false),
        ] {
            assert_eq!(is_prime(&[n], random), prime, "{n}");
        }
        for (n, prime) in [(u64::MAX - 158, true), (u64::MAX - 156, false)] {
            assert_eq!(is_prime(&[n, u64::MAX], random), prime, "{n}");
        }
        let squares = (u64::from(u32::MAX) - 4).pow(2);
        assert!(!is_prime(&[squares], random));
    }

    #[test]
    fn what_is_found_is_odd_long_and_prime_to_others() {
        for seed in 1..20 {
            let mut random = source(seed);
            let bytes = prime::<2>(&mut random);
            let n = u128::from_be_bytes(bytes.try_into().unwrap());
            assert!(n >> 126 == 3 && n % 2 == 1, "{n}");
            // Fermat, with another arithmetic.
            let power = rsa::BigUint::from(3_u8).modpow(&(n - 1).into(), &n.into());
            assert_eq!(power, 1_u8.into(), "{n}");
            assert_ne!((n - 1) % u128::from(EXPONENT), 0);
        }
    }
}
