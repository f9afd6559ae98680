//! Where bodies come from: a flag, files, or lines.
//!
//! Invariants:
//! - Files are opened before anything is published, so a wrong name sends nothing.
//! - A line's ending (`\n` or `\r\n`) is not part of its body.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Bodies, one after the other.
pub struct Input {
    text: Option<Vec<u8>>,
    sources: VecDeque<Source>,
    lines: bool,
}

struct Source {
    name: PathBuf,
    reader: BufReader<Box<dyn Read>>,
}

impl Input {
    /// One text, or all of the files, or the lines of standard input.
    pub fn open(text: Option<&str>, files: &[PathBuf], lines: bool) -> anyhow::Result<Self> {
        let text = text.map(|text| text.as_bytes().to_vec());
        let mut sources: VecDeque<_> = files
            .iter()
            .map(|path| Source::open(path))
            .collect::<anyhow::Result<_>>()?;
        let only_stdin = text.is_none() && files.is_empty();
        if only_stdin {
            sources.push_back(Source::open(Path::new("-"))?);
        }
        Ok(Self {
            text,
            sources,
            lines: lines || only_stdin,
        })
    }

    /// Puts the next body into `body`; false if there is none.
    pub fn next(&mut self, body: &mut Vec<u8>) -> anyhow::Result<bool> {
        body.clear();
        if let Some(text) = self.text.take() {
            *body = text;
            return Ok(true);
        }
        while let Some(source) = self.sources.front_mut() {
            let found = source
                .read(self.lines, body)
                .with_context(|| format!("cannot read {}", source.name.display()))?;
            if !self.lines || !found {
                self.sources.pop_front();
            }
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the next body is likely to be here without waiting.
    pub fn has_more(&self) -> bool {
        self.sources
            .front()
            .is_some_and(|source| !self.lines || !source.reader.buffer().is_empty())
    }
}

impl Source {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let inner: Box<dyn Read> = if path == Path::new("-") {
            Box::new(io::stdin())
        } else {
            Box::new(File::open(path).with_context(|| format!("cannot open {}", path.display()))?)
        };
        Ok(Self {
            name: path.to_owned(),
            reader: BufReader::with_capacity(64 << 10, inner),
        })
    }

    /// A whole file is a body even if it is empty; behind the last line there is none.
    fn read(&mut self, lines: bool, body: &mut Vec<u8>) -> io::Result<bool> {
        if !lines {
            self.reader.read_to_end(body)?;
            return Ok(true);
        }
        if self.reader.read_until(b'\n', body)? == 0 {
            return Ok(false);
        }
        if body.last() == Some(&b'\n') {
            body.pop();
            if body.last() == Some(&b'\r') {
                body.pop();
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::Input;

    fn bodies(mut input: Input) -> Vec<Vec<u8>> {
        let (mut all, mut body) = (Vec::new(), Vec::new());
        while input.next(&mut body).unwrap() {
            all.push(body.clone());
        }
        all
    }

    fn files(contents: &[&str]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let directory = tempfile::tempdir().unwrap();
        let paths = contents.iter().enumerate().map(|(index, content)| {
            let path = directory.path().join(index.to_string());
            std::fs::write(&path, content).unwrap();
            path
        });
        let paths = paths.collect();
        (directory, paths)
    }

    #[test]
    fn each_file_is_a_body_even_an_empty_one() {
        let (_directory, paths) = files(&["a\nb\n", "", "c"]);
        assert_eq!(
            bodies(Input::open(None, &paths, false).unwrap()),
            [b"a\nb\n".as_slice(), b"", b"c"]
        );
    }

    #[test]
    fn each_line_is_a_body_without_its_ending() {
        let (_directory, paths) = files(&["a\r\n\nb", "", "c\n"]);
        assert_eq!(
            bodies(Input::open(None, &paths, true).unwrap()),
            [b"a".as_slice(), b"", b"b", b"c"]
        );
    }

    #[test]
    fn a_file_that_does_not_exist_is_named_before_anything_is_read() {
        let error = Input::open(None, &[PathBuf::from("/nowhere/at/all")], false)
            .err()
            .unwrap();
        assert!(error.to_string().contains("/nowhere/at/all"));
    }

    #[test]
    fn a_text_is_the_only_body() {
        assert_eq!(bodies(Input::open(Some("hi"), &[], false).unwrap()), [b"hi"]);
    }
}
