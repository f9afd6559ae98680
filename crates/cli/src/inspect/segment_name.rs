//! How the command line names a segment: by its number, or by its file.
//!
//! Invariants:
//! - What a tool prints is read as it was printed, and what a listing of the directory shows is read as the file that it names.
//! - What could mean two segments names none.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::bail;
use logpond_store::SegmentNumber;

/// Bit that the numbers of cold segments have.
const COLD_BIT: u64 = 1 << 63;
/// Digits of the number in a file's name.
const FILE_DIGITS: usize = 16;
/// The directory in which those of the journal and the cold ones lie.
const SHARD_DIR: &str = "shard-00";

/// A segment, printed as its number in decimal, with a `c` before it when it is cold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentName {
    number: SegmentNumber,
    /// The data directory, when it was named by a path that begins there or above.
    data: Option<PathBuf>,
}

impl SegmentName {
    /// The name of this segment.
    pub const fn of(number: SegmentNumber) -> Self {
        Self { number, data: None }
    }

    /// The segment of this name.
    pub const fn number(&self) -> SegmentNumber {
        self.number
    }

    /// Refuses a path that leads to another directory than the one that is looked at.
    pub fn check(&self, data: &Path) -> anyhow::Result<()> {
        let Some(named) = &self.data else {
            return Ok(());
        };
        let is_same = named
            .canonicalize()
            .is_ok_and(|named| data.canonicalize().is_ok_and(|data| named == data));
        if !is_same {
            let (named, data) = (named.display(), data.display());
            bail!("that segment lies in {named}, and what is looked at is {data}: `--data` says where");
        }
        Ok(())
    }
}

impl FromStr for SegmentName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text).ok_or_else(|| {
            format!(
                "`{text}` names no segment: 43 (or 0x2b) is one of the journal, c5 a cold one; their files are \
                 000000000000002b.seg and c/0000000000000005.seg"
            )
        })
    }
}

fn parse(text: &str) -> Option<SegmentName> {
    let path = Path::new(text);
    let name = path.file_name()?.to_str()?;
    let parent = path
        .parent()
        .and_then(Path::file_name)
        .and_then(|dir| dir.to_str());
    let number = match parent {
        Some("c") => digits(name)? | COLD_BIT,
        // A listing of a directory shows names alone.
        Some("j") | None => alone(name)?,
        Some(_) => digits(name)?,
    };
    let data = parent.and_then(|_| data_of(path));
    Some(SegmentName {
        number: SegmentNumber::new(number),
        data,
    })
}

/// What stands before the directory of the shard; `None` where that is nothing.
fn data_of(path: &Path) -> Option<PathBuf> {
    let shard = path.parent()?.parent()?;
    let data = shard.parent()?;
    (shard.ends_with(SHARD_DIR) && data != Path::new("")).then(|| data.to_owned())
}

/// A name without a directory: that of a cold segment has a `c` before it.
fn alone(name: &str) -> Option<u64> {
    let Some(cold) = name.strip_prefix('c') else {
        return digits(name);
    };
    // `c5.seg` could be the cold segment 5 or segment 0xc5 of the journal.
    let is_clear = !cold.ends_with(".seg") || cold.len() == FILE_DIGITS + ".seg".len();
    is_clear
        .then(|| digits(cold))
        .flatten()
        .map(|number| number | COLD_BIT)
}

/// In hexadecimal as in the name of a file, with its ending or its length, or with `0x`; otherwise in decimal.
fn digits(name: &str) -> Option<u64> {
    let in_hex = name.strip_suffix(".seg").or_else(|| name.strip_prefix("0x"));
    let (digits, radix) = match in_hex {
        Some(digits) => (digits, 16),
        None if name.len() == FILE_DIGITS => (name, 16),
        None => (name, 10),
    };
    let is_digits = digits.len() <= FILE_DIGITS && digits.chars().all(|digit| digit.is_digit(radix));
    let number = u64::from_str_radix(digits, radix).ok()?;
    (is_digits && number < COLD_BIT).then_some(number)
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.number.is_cold() {
            write!(f, "c{}", self.number.get() & !COLD_BIT)
        } else {
            self.number.fmt(f)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Option<u64> {
        text.parse().ok().map(|name: SegmentName| name.number().get())
    }

    #[test]
    fn a_segment_of_the_journal_is_named_by_its_number_its_file_or_its_path() {
        for name in [
            "43",
            "0x2b",
            "000000000000002b",
            "000000000000002b.seg",
            "000000000000002B.seg",
            "2b.seg",
            "./2b.seg",
            "j/000000000000002b.seg",
            "shard-00/j/000000000000002b.seg",
            "/var/lib/logpond/shard-00/j/000000000000002b.seg",
        ] {
            assert_eq!(number(name), Some(43), "{name}");
        }
        assert_eq!(number("10"), Some(10));
        assert_eq!(number("10.seg"), Some(16));
    }

    #[test]
    fn a_cold_segment_is_named_likewise_with_a_c_or_its_directory() {
        for name in [
            "c43",
            "c0x2b",
            "c000000000000002b",
            "c000000000000002b.seg",
            "c/000000000000002b.seg",
            "c/2b.seg",
            "d/shard-00/c/000000000000002b.seg",
        ] {
            assert_eq!(number(name), Some(43 | COLD_BIT), "{name}");
        }
    }

    #[test]
    fn what_could_be_two_or_is_none_is_refused_with_what_there_may_be() {
        let wrong = [
            "",
            "c",
            "x",
            "2b",
            "-1",
            "+1",
            "0x",
            "0x+1",
            ".seg",
            "c5.seg",
            "5.footer",
            "spare-2b",
            "c-1",
            "8000000000000001",
            "0000000000000002b.seg",
            "/",
        ];
        for name in wrong {
            assert_eq!(number(name), None, "{name}");
        }
        let why = "2b".parse::<SegmentName>().unwrap_err();
        assert!(
            why.contains("000000000000002b.seg") && why.contains("c5"),
            "{why}"
        );
    }

    #[test]
    fn a_path_into_another_directory_is_refused() {
        let (here, there) = (
            tempfile::tempdir().expect("one"),
            tempfile::tempdir().expect("another"),
        );
        let path = here.path().join("shard-00/j/0000000000000001.seg");
        let name: SegmentName = path.to_str().expect("text").parse().expect("a name");
        assert!(name.check(here.path()).is_ok());
        assert!(name.check(there.path()).is_err());
        let within: SegmentName = "shard-00/j/0000000000000001.seg".parse().expect("a name");
        assert!(within.check(there.path()).is_ok());
    }
}
