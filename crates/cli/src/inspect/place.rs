//! How the command line names places in segments, and index pages.

use std::str::FromStr;

use super::segment_name::SegmentName;

/// A byte of a segment's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The segment.
    pub segment: SegmentName,
    /// The offset.
    pub offset: u64,
}

impl FromStr for Spot {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The path of a segment may have an @ in it.
        let parts = text.rsplit_once('@');
        let (segment, offset) =
            parts.ok_or_else(|| format!("`{text}` is no place; 5@8192 is byte 8192 of segment 5"))?;
        let offset = offset
            .parse()
            .map_err(|_| format!("`{offset}` is no offset: a decimal number of bytes"))?;
        Ok(Self {
            segment: segment.parse()?,
            offset,
        })
    }
}

/// An index page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The slab.
    pub slab: u64,
    /// The page in it.
    pub page: u64,
}

impl FromStr for Page {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').and_then(|(slab, page)| {
            let (slab, page): (u16, u32) = (slab.parse().ok()?, page.parse().ok()?);
            Some((slab.into(), page.into()))
        });
        let (slab, page) =
            parts.ok_or_else(|| format!("`{text}` is no index page; 0:3 is page 3 of slab 0"))?;
        Ok(Self { slab, page })
    }
}

#[cfg(test)]
mod tests {
    use logpond_store::SegmentNumber;

    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_printed() {
        let spot: Spot = "c2@4096".parse().expect("a place");
        assert_eq!((spot.segment.to_string(), spot.offset), ("c2".to_owned(), 4096));
        assert!(spot.segment.number().is_cold());
        let spot: Spot = "7@128".parse().expect("a place");
        assert_eq!((spot.segment.number(), spot.offset), (SegmentNumber::new(7), 128));
        let spot: Spot = "d@ta/shard-00/c/0000000000000002.seg@4096"
            .parse()
            .expect("a place");
        assert_eq!((spot.segment.to_string(), spot.offset), ("c2".to_owned(), 4096));
        for wrong in ["7", "@7", "7@", "x@7", "7@-1", "c@1"] {
            assert!(wrong.parse::<Spot>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_index_page_is_a_slab_and_a_page() {
        assert_eq!("1:20".parse(), Ok(Page { slab: 1, page: 20 }));
        assert!("1".parse::<Page>().is_err());
        assert!("1:x".parse::<Page>().is_err());
    }
}
