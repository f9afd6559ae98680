//! The login mechanisms, and what user and password a response holds.

use logpond_amqp::{Table, Value};

pub(super) use crate::config::Mechanism;

/// A user and a password, as claimed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Credentials<'a> {
    pub user: &'a str,
    pub password: &'a [u8],
}

impl Mechanism {
    /// Reads a response that holds a password; nothing if it does not.
    pub(super) fn credentials(self, response: &[u8]) -> Option<Credentials<'_>> {
        match self {
            Self::Plain => plain(response),
            Self::AmqPlain => amqplain(response),
            Self::External | Self::Anonymous => None,
        }
    }
}

fn plain(response: &[u8]) -> Option<Credentials<'_>> {
    let rest = response.strip_prefix(&[0])?;
    let end = rest.iter().position(|octet| *octet == 0)?;
    let user = std::str::from_utf8(&rest[..end]).ok()?;
    Some(Credentials {
        user,
        password: &rest[end + 1..],
    })
}

fn amqplain(response: &[u8]) -> Option<Credentials<'_>> {
    let table = Table::parse(response).ok()?;
    let text = |key: &[u8]| match table.get(key) {
        Some(Value::LongString(bytes) | Value::Bytes(bytes)) => Some(bytes),
        _ => None,
    };
    let user = std::str::from_utf8(text(b"LOGIN")?).ok()?;
    Some(Credentials {
        user,
        password: text(b"PASSWORD")?,
    })
}

#[cfg(test)]
mod tests {
    use logpond_amqp::{ShortStr, TableWriter};
    use rstest::rstest;

    use super::*;

    #[test]
    fn plain_holds_user_and_password_behind_zeros() {
        let found = Mechanism::Plain.credentials(b"\0me\0se\0cret").unwrap();
        assert_eq!((found.user, found.password), ("me", b"se\0cret".as_slice()));
    }

    #[rstest]
    #[case(b"")]
    #[case(b"me\0secret")]
    #[case(b"\0me")]
    #[case(b"\0\xff\xfe\0secret")]
    fn what_is_not_plain_is_no_login(#[case] response: &[u8]) {
        assert!(Mechanism::Plain.credentials(response).is_none());
    }

    #[test]
    fn amqplain_is_a_table_without_its_length() {
        let mut bytes = Vec::new();
        TableWriter::new(&mut bytes)
            .put(ShortStr::new(b"LOGIN").unwrap(), Value::LongString(b"me"))
            .put(ShortStr::new(b"PASSWORD").unwrap(), Value::LongString(b"secret"));
        let found = Mechanism::AmqPlain.credentials(&bytes).unwrap();
        assert_eq!((found.user, found.password), ("me", b"secret".as_slice()));
        assert!(Mechanism::AmqPlain.credentials(&bytes[..9]).is_none());
    }
}
