//! strace's output as events, in the order in which they happened.
//!
//! Understands `strace -f -tt -y -xx`: one call per line, or cut in two by `<unfinished ...>` and
//! `<... call resumed>`; all strings, paths among them, as `\x..`.

use std::collections::HashMap;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A call began.
    Began(Call),
    /// The call of this thread, which began earlier, returned.
    Returned {
        /// Thread.
        thread: u32,
        /// What it returned.
        result: i64,
    },
}

/// A call, as far as it is known when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Thread.
    pub thread: u32,
    /// Name of the call.
    pub name: String,
    /// Number of the file.
    pub fd: u32,
    /// What the file is: a path, or `socket:[…]`.
    pub file: String,
    /// What is to be written.
    pub data: Vec<u8>,
    /// Whether it is to be durable when the call returns.
    pub is_synced: bool,
}

/// Turns lines into events.
#[derive(Default)]
pub struct Reader {
    unfinished: HashMap<u32, ()>,
}

impl Reader {
    /// The events of a line: none, one, or begin and return.
    pub fn events(&mut self, line: &str) -> Vec<Event> {
        let Some((thread, rest)) = thread_and_rest(line) else {
            return Vec::new();
        };
        if rest.starts_with("<... ") {
            return match (self.unfinished.remove(&thread), result_of(rest)) {
                (Some(()), Some(result)) => vec![Event::Returned { thread, result }],
                _ => Vec::new(),
            };
        }
        let Some(call) = call_of(thread, rest) else {
            return Vec::new();
        };
        let began = Event::Began(call);
        if rest.ends_with("<unfinished ...>") {
            self.unfinished.insert(thread, ());
            return vec![began];
        }
        match result_of(rest) {
            Some(result) => vec![began, Event::Returned { thread, result }],
            None => vec![began],
        }
    }
}

/// `1234 12:00:00.123456 rest`
fn thread_and_rest(line: &str) -> Option<(u32, &str)> {
    let (thread, rest) = line.split_once(' ')?;
    let (_time, rest) = rest.trim_start().split_once(' ')?;
    Some((thread.parse().ok()?, rest.trim()))
}

/// `name(7</path>, …`
fn call_of(thread: u32, text: &str) -> Option<Call> {
    let (name, arguments) = text.split_once('(')?;
    let (fd, rest) = arguments.split_once('<')?;
    let (file, rest) = rest.split_once('>')?;
    Some(Call {
        thread,
        name: name.to_owned(),
        fd: fd.parse().ok()?,
        file: String::from_utf8_lossy(&bytes_of(file)).into_owned(),
        data: strings_in(rest),
        is_synced: rest.contains("RWF_DSYNC") || rest.contains("RWF_SYNC"),
    })
}

/// All quoted strings, one after the other: the pieces of a gathered write.
fn strings_in(text: &str) -> Vec<u8> {
    text.split('"').skip(1).step_by(2).flat_map(bytes_of).collect()
}

/// `\x2f\x74` as bytes; anything else as it stands.
fn bytes_of(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let escaped = rest
            .strip_prefix("\\x")
            .and_then(|hex| u8::from_str_radix(hex.get(..2)?, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[4..];
            }
            None => {
                bytes.extend_from_slice(first.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    bytes
}

/// `… = 42`, or `… = -1 EIO (…)`
fn result_of(text: &str) -> Option<i64> {
    let (_, result) = text.rsplit_once(") = ").or_else(|| text.rsplit_once(")   = "))?;
    result.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_call_begins_and_returns() {
        let line = r#"12 04:56:02.2 pwritev2(13<\x2f\x61>, [{iov_base="\x01\x02", iov_len=2}, {iov_base="\x03", iov_len=1}], 2, 0, RWF_DSYNC) = 3"#;
        let events = Reader::default().events(line);
        let call = Call {
            thread: 12,
            name: "pwritev2".into(),
            fd: 13,
            file: "/a".into(),
            data: vec![1, 2, 3],
            is_synced: true,
        };
        assert_eq!(
            events,
            [
                Event::Began(call),
                Event::Returned {
                    thread: 12,
                    result: 3
                }
            ]
        );
    }

    #[test]
    fn a_cut_call_returns_where_it_is_resumed() {
        let mut reader = Reader::default();
        let began = reader.events(r"7 04:56:02.2 fdatasync(9<\x2f\x62> <unfinished ...>");
        assert!(matches!(&began[..], [Event::Began(call)] if call.file == "/b" && call.name == "fdatasync"));
        assert!(
            reader
                .events(r"8 04:56:02.3 fdatasync(9<\x2f\x62> <unfinished ...>")
                .len()
                == 1
        );
        let resumed = reader.events("7 04:56:02.4 <... fdatasync resumed>) = -1 EIO (Input/output error)");
        assert_eq!(
            resumed,
            [Event::Returned {
                thread: 7,
                result: -1
            }]
        );
    }

    #[test]
    fn other_lines_say_nothing() {
        assert!(
            Reader::default()
                .events("12 04:56:03.9 +++ exited with 0 +++")
                .is_empty()
        );
        assert!(
            Reader::default()
                .events("12 04:56:03.9 --- SIGTERM {si_signo=SIGTERM} ---")
                .is_empty()
        );
    }
}
