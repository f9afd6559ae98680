//! The list of a snapshot's files, with their sizes and checksums (docs/format.md, "Snapshot").
//!
//! Invariants:
//! - It is written when every file that it lists is synced, and ends with a checksum of its own.
//! - It says what the files were when the snapshot was taken: a store that was opened there since has other files.

use super::error::ManifestProblem;
use crate::disk::{AlignedBuf, Disk, DiskFile, FileKind};
use crate::format::{byte_count, memory_offset};
use crate::ids::Lsn;
use std::fmt::Write as _;
use std::io;

/// The name of the file.
pub(super) const MANIFEST_NAME: &str = "SNAPSHOT";
/// The first line.
const TITLE: &str = "logpond snapshot 1";
/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;

/// What a snapshot consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotManifest {
    /// The identity of the store, which is that of the snapshot, too.
    pub store: u128,
    /// The epoch in which it was taken.
    pub epoch: u64,
    /// The journal is in it up to this address.
    pub end: Lsn,
    /// When it was taken: wall clock, milliseconds since the Unix epoch.
    pub taken_ms: u64,
    /// Its files.
    pub files: Vec<SnapshotFile>,
}

/// A file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Relative to the snapshot.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// How many of its bytes, from the beginning, count; what lies behind them means nothing, and may be lost in a crash.
    pub bytes_used: u64,
    /// The CRC-32 of those; `None` when the disk would not read them.
    pub crc: Option<u32>,
    /// How it came here.
    pub how: HowTaken,
}

/// How a file came into a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HowTaken {
    /// It is the store's file under a second name.
    Linked,
    /// Its bytes were copied: it was still being written, or the snapshot lies on another file system.
    Copied,
    /// It was written anew.
    Written,
}

impl HowTaken {
    const fn word(self) -> &'static str {
        match self {
            Self::Linked => "linked",
            Self::Copied => "copied",
            Self::Written => "written",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::Linked, Self::Copied, Self::Written]
            .into_iter()
            .find(|how| how.word() == word)
    }
}

/// How a file differs from what the manifest says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// There is no such file.
    Missing {
        /// Relative to the snapshot.
        path: String,
    },
    /// Bytes that count are others, or gone.
    Changed {
        /// Relative to the snapshot.
        path: String,
    },
    /// It cannot be read now, or could not be when the snapshot was taken.
    Unreadable {
        /// Relative to the snapshot.
        path: String,
    },
}

impl SnapshotManifest {
    /// Reads the manifest of the snapshot in a directory.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn read<D: Disk>(disk: &D) -> Result<Self, ManifestProblem> {
        let reading = |source| ManifestProblem::Io {
            file: MANIFEST_NAME.to_owned(),
            source,
        };
        let file = match disk.open(MANIFEST_NAME, FileKind::Plain) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ManifestProblem::Missing(MANIFEST_NAME));
            }
            opened => opened.map_err(reading)?,
        };
        let len = file.len().map_err(reading)?;
        let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other).map_err(reading)?];
        let read = file.read_at(&mut bytes, 0).map_err(reading)?;
        Self::parse(&bytes[..read]).map_err(|line| ManifestProblem::Damaged { line })
    }

    /// Compares the files of the snapshot in a directory, each byte that counts, with this.
    ///
    /// # Errors
    /// When the disk refuses to say whether a file is there.
    pub fn compare<D: Disk>(&self, disk: &D) -> Result<Vec<Difference>, ManifestProblem> {
        let mut differences = Vec::new();
        for listed in &self.files {
            let path = listed.path.clone();
            let opened = match disk.open(&listed.path, FileKind::Plain) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    differences.push(Difference::Missing { path });
                    continue;
                }
                Err(source) => return Err(ManifestProblem::Io { file: path, source }),
                Ok(file) => file,
            };
            match (crc_of(&opened, listed.bytes_used), listed.crc) {
                (Ok(found), Some(known)) if found == Some(known) => {}
                (Ok(_), Some(_)) => differences.push(Difference::Changed { path }),
                (Err(_), _) | (Ok(_), None) => differences.push(Difference::Unreadable { path }),
            }
        }
        Ok(differences)
    }

    /// How many files came here in this way.
    #[must_use]
    pub fn count(&self, how: HowTaken) -> usize {
        self.files.iter().filter(|file| file.how == how).count()
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = format!(
            "{TITLE}\nstore {:032x}\nepoch {}\nend {:016x}\ntaken {}\n",
            self.store,
            self.epoch,
            self.end.get(),
            self.taken_ms
        );
        for file in &self.files {
            let SnapshotFile {
                path,
                bytes,
                bytes_used,
                crc,
                how,
            } = file;
            let crc = crc.map_or_else(|| "unreadable".to_owned(), |crc| format!("{crc:08x}"));
            let _ = writeln!(text, "{} {bytes} {bytes_used} {crc} {path}", how.word());
        }
        let crc = crc32fast::hash(text.as_bytes());
        let _ = writeln!(text, "crc {crc:08x}");
        text
    }

    /// The number of the first bad line, when there is one.
    fn parse(bytes: &[u8]) -> Result<Self, usize> {
        let text = std::str::from_utf8(bytes).map_err(|_| 1_usize)?;
        let count = text.lines().count();
        let (listed, last) = text
            .strip_suffix('\n')
            .and_then(|text| text.rsplit_once('\n'))
            .ok_or(1_usize)?;
        let body = &text[..listed.len() + 1];
        let crc = last.strip_prefix("crc ").and_then(hex32);
        if crc != Some(crc32fast::hash(body.as_bytes())) {
            return Err(count);
        }
        let mut lines = body.lines().zip(1..);
        let mut next = |word: &str| {
            let (line, at) = lines.next().ok_or(count)?;
            let value = line.strip_prefix(word).and_then(|rest| rest.strip_prefix(' '));
            value.map(|value| (value, at)).ok_or(at)
        };
        let (_, _) = next("logpond").and_then(|(value, at)| {
            let is_ours = value == "snapshot 1";
            is_ours.then_some((value, at)).ok_or(at)
        })?;
        let (store, at) = next("store")?;
        let store = u128::from_str_radix(store, 16).map_err(|_| at)?;
        let (epoch, at) = next("epoch")?;
        let epoch = epoch.parse().map_err(|_| at)?;
        let (end, at) = next("end")?;
        let end = u64::from_str_radix(end, 16).map_err(|_| at)?;
        let (taken_ms, at) = next("taken")?;
        let taken_ms = taken_ms.parse().map_err(|_| at)?;
        let files = lines.map(|(line, at)| file(line).ok_or(at));
        Ok(Self {
            store,
            epoch,
            end: Lsn::new(end),
            taken_ms,
            files: files.collect::<Result<_, _>>()?,
        })
    }
}

fn hex32(hex: &str) -> Option<u32> {
    u32::from_str_radix(hex, 16).ok()
}

fn file(line: &str) -> Option<SnapshotFile> {
    let mut words = line.splitn(5, ' ');
    let how = HowTaken::of(words.next()?)?;
    let bytes = words.next()?.parse().ok()?;
    let bytes_used = words.next()?.parse().ok()?;
    let crc = match words.next()? {
        "unreadable" => None,
        crc => Some(hex32(crc)?),
    };
    let path = words.next()?.to_owned();
    Some(SnapshotFile {
        path,
        bytes,
        bytes_used,
        crc,
        how,
    })
}

/// The CRC-32 of the first `bytes` of a file; `None` when it is shorter.
pub(super) fn crc_of<F: DiskFile>(file: &F, bytes: u64) -> io::Result<Option<u32>> {
    let mut hasher = crc32fast::Hasher::new();
    let mut buf = AlignedBuf::zeroed(READ_BYTES);
    let mut at = 0;
    while at < bytes {
        let wanted = memory_offset((bytes - at).min(byte_count(READ_BYTES)));
        // The whole buffer is read, for direct reads take whole units.
        let read = file.read_at(&mut buf, at)?.min(wanted);
        if read < wanted {
            return Ok(None);
        }
        hasher.update(&buf[..wanted]);
        at += byte_count(wanted);
    }
    Ok(Some(hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> SnapshotManifest {
        SnapshotManifest {
            store: 0xfeed,
            epoch: 3,
            end: Lsn::new(0x1_2000),
            taken_ms: 1_700_000_000_000,
            files: vec![
                SnapshotFile {
                    path: "shard-00/j/0000000000000001.seg".to_owned(),
                    bytes: 65536,
                    bytes_used: 61440,
                    crc: Some(0xabc),
                    how: HowTaken::Linked,
                },
                SnapshotFile {
                    path: "META".to_owned(),
                    bytes: 8192,
                    bytes_used: 8192,
                    crc: None,
                    how: HowTaken::Written,
                },
            ],
        }
    }

    #[test]
    fn a_manifest_has_the_lines_that_the_format_draws() {
        let text = manifest().to_text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..7],
            [
                "logpond snapshot 1",
                "store 0000000000000000000000000000feed",
                "epoch 3",
                "end 0000000000012000",
                "taken 1700000000000",
                "linked 65536 61440 00000abc shard-00/j/0000000000000001.seg",
                "written 8192 8192 unreadable META",
            ]
        );
        assert!(lines[7].starts_with("crc "));
        assert_eq!(SnapshotManifest::parse(text.as_bytes()).unwrap(), manifest());
    }

    #[test]
    fn a_manifest_with_any_byte_changed_or_cut_is_refused() {
        let text = manifest().to_text().into_bytes();
        for at in 0..text.len() {
            let mut changed = text.clone();
            changed[at] ^= 1;
            assert!(SnapshotManifest::parse(&changed).is_err(), "byte {at}");
            assert!(SnapshotManifest::parse(&text[..at]).is_err(), "cut at {at}");
        }
    }
}
