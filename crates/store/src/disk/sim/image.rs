//! The contents of a file as pages that images share until one of them changes.
//!
//! Invariants:
//! - A missing page reads as zeros; no page lies wholly beyond `len`.
//! - Bytes of the last page beyond `len` are zero.

use std::sync::Arc;

pub(super) const PAGE_BYTES: usize = 4096;
type Page = [u8; PAGE_BYTES];
static ZERO_PAGE: Page = [0; PAGE_BYTES];

#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    pages: Vec<Option<Arc<Page>>>,
    len: usize,
}

impl Image {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn grow(&mut self, len: usize) {
        if len > self.len {
            self.len = len;
            self.pages.resize(len.div_ceil(PAGE_BYTES), None);
        }
    }

    pub(super) fn shorten(&mut self, len: usize) {
        if len < self.len {
            self.len = len;
            self.pages.truncate(len.div_ceil(PAGE_BYTES));
            if let (behind @ 1.., Some(Some(last))) = (len % PAGE_BYTES, self.pages.last_mut()) {
                Arc::make_mut(last)[behind..].fill(0);
            }
        }
    }

    pub(super) fn page(&self, index: usize) -> &Page {
        self.pages
            .get(index)
            .and_then(Option::as_ref)
            .map_or(&ZERO_PAGE, |page| page)
    }

    /// Reads what lies within the file; returns how many bytes.
    pub(super) fn read(&self, buf: &mut [u8], offset: usize) -> usize {
        let len = buf.len().min(self.len.saturating_sub(offset));
        let mut done = 0;
        while done < len {
            let at = offset + done;
            let within = at % PAGE_BYTES;
            let part = (PAGE_BYTES - within).min(len - done);
            buf[done..done + part].copy_from_slice(&self.page(at / PAGE_BYTES)[within..within + part]);
            done += part;
        }
        len
    }

    /// Writes, growing the file when needed.
    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        self.grow(offset + bytes.len());
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done;
            let within = at % PAGE_BYTES;
            let part = (PAGE_BYTES - within).min(bytes.len() - done);
            let slot = &mut self.pages[at / PAGE_BYTES];
            let new = &bytes[done..done + part];
            if let Ok(whole) = <&Page>::try_from(new) {
                *slot = Some(Arc::new(*whole));
            } else {
                let page = slot.get_or_insert_with(|| Arc::new(ZERO_PAGE));
                Arc::make_mut(page)[within..within + part].copy_from_slice(new);
            }
            done += part;
        }
    }

    /// Takes over the pages that `from..to` touches; both images share them afterwards.
    pub(super) fn share_pages(&mut self, other: &Self, from: usize, to: usize) {
        self.grow(to.min(other.len));
        for index in from / PAGE_BYTES..to.div_ceil(PAGE_BYTES).min(self.pages.len()) {
            self.pages[index] = other.pages.get(index).cloned().flatten();
        }
    }

    /// A number that differs for different contents. Pages of zeros cost nothing where they were never written.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut mixed = u64::try_from(self.len).expect("lengths fit into 64 bits");
        for (index, page) in self.pages.iter().enumerate() {
            let Some(page) = page else { continue };
            mixed = mix(mixed, u64::try_from(index).expect("lengths fit into 64 bits"));
            let (words, _) = page.as_chunks();
            for word in words {
                mixed = mix(mixed, u64::from_le_bytes(*word));
            }
        }
        mixed
    }
}

/// Each step is a bijection of `mixed`, so two contents that differ in one word never meet again because of it.
const fn mix(mixed: u64, word: u64) -> u64 {
    let product = (mixed ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ (product >> 29)
}
