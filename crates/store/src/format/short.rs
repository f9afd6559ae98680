//! Copies of a few bytes.
//!
//! Invariant: what is copied, and where it panics, is what `copy_from_slice` copies and where it panics.

/// Copies bytes that may be few: a call of the library costs more than eight or sixteen of them.
pub(crate) fn copy_short(to: &mut [u8], from: &[u8]) {
    if from.len() > 32
        || to.len() != from.len()
        || !(copy_ends::<16>(to, from) || copy_ends::<8>(to, from) || copy_ends::<4>(to, from))
    {
        to.copy_from_slice(from);
    }
}

/// Copies `N` to `2 * N` bytes by their first and their last `N`. `false` when they are fewer.
fn copy_ends<const N: usize>(to: &mut [u8], from: &[u8]) -> bool {
    let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) else {
        return false;
    };
    if let Some(to) = to.first_chunk_mut::<N>() {
        *to = *first;
    }
    if let Some(to) = to.last_chunk_mut::<N>() {
        *to = *last;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::copy_short;

    #[test]
    fn all_bytes_are_copied_whatever_their_number() {
        let bytes: Vec<u8> = (1..=100).collect();
        for len in 0..bytes.len() {
            let mut copy = vec![0; len];
            copy_short(&mut copy, &bytes[..len]);
            assert_eq!(copy, bytes[..len]);
        }
    }

    #[test]
    #[should_panic = "copy_from_slice"]
    fn a_place_of_another_size_is_refused() {
        copy_short(&mut [0; 20], &[1; 18]);
    }
}
