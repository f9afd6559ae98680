//! A set of numbers that begin at 0 and are dense: one bit each.

/// The set.
#[derive(Clone, Debug, Default)]
pub struct Bits {
    words: Vec<u64>,
    len: u64,
}

impl Bits {
    /// Puts a number in, and says whether it is new.
    pub fn insert(&mut self, number: u64) -> bool {
        let (word, mask) = place(number);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & mask == 0;
        self.words[word] |= mask;
        self.len += u64::from(is_new);
        is_new
    }

    /// Whether a number is in it.
    pub fn contains(&self, number: u64) -> bool {
        let (word, mask) = place(number);
        self.words.get(word).is_some_and(|bits| bits & mask != 0)
    }

    /// How many numbers are in it.
    pub fn len(&self) -> u64 {
        self.len
    }
}

fn place(number: u64) -> (usize, u64) {
    let word =
        usize::try_from(number / 64).expect("a test publishes fewer messages than memory has addresses");
    (word, 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use super::Bits;

    #[test]
    fn a_number_is_new_once() {
        let mut bits = Bits::default();
        assert!(bits.insert(1000));
        assert!(!bits.insert(1000));
        assert!(bits.contains(1000) && !bits.contains(999) && !bits.contains(u64::MAX));
        assert_eq!(bits.len(), 1);
    }
}
