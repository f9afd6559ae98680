//! Stored passwords: four bytes of salt, then the hash of salt and password.
//!
//! This is RabbitMQ's format, and ours too. Argon2 would make guessing from a stolen catalog far dearer, but
//! its hashes could neither be exported to nor imported from definitions, and clients that reconnect in
//! thousands would buy it with tens of milliseconds of CPU each. The type has room for it when there are
//! logins that want it.
//!
//! Invariants:
//! - Comparison takes as long for a wrong password as for the right one, and as long for a missing user.
//! - A hash or password never appears in `Debug` output.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::limits::PASSWORD_BYTES_MAX;

const SALT_BYTES: usize = 4;

/// How salt and password are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum HashAlgorithm {
    /// `rabbit_password_hashing_sha256`
    Sha256,
    /// `rabbit_password_hashing_sha512`
    Sha512,
}

impl HashAlgorithm {
    /// The algorithm of this name in definitions.
    ///
    /// # Errors
    /// If we do not have it.
    pub fn parse(name: &str) -> Result<Self, PasswordError> {
        match name {
            "rabbit_password_hashing_sha256" => Ok(Self::Sha256),
            "rabbit_password_hashing_sha512" => Ok(Self::Sha512),
            other => Err(PasswordError::Algorithm(other.to_owned())),
        }
    }

    /// Its name in definitions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "rabbit_password_hashing_sha256",
            Self::Sha512 => "rabbit_password_hashing_sha512",
        }
    }

    const fn digest_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// Why a password or a hash cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// Give the user a new password instead.
    #[error("passwords hashed with '{0}' are not supported; set the password anew")]
    Algorithm(String),
    /// The text is no base64.
    #[error("the password hash is no base64")]
    Base64,
    /// It is base64 of something else.
    #[error("the password hash has {have} bytes, its algorithm makes {expected}")]
    Length {
        /// Bytes of salt and hash.
        have: usize,
        /// What they should be.
        expected: usize,
    },
    /// An empty password would let everybody in.
    #[error("a password may not be empty")]
    Empty,
    /// Longer than [`PASSWORD_BYTES_MAX`].
    #[error("a password may have at most {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
}

/// A stored password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordHash {
    algorithm: HashAlgorithm,
    salt_and_hash: Vec<u8>,
}

impl PasswordHash {
    /// Hashes a password; `random` becomes its salt.
    ///
    /// # Errors
    /// For passwords that nobody should have.
    pub fn new(password: &[u8], random: [u8; SALT_BYTES]) -> Result<Self, PasswordError> {
        match password.len() {
            0 => return Err(PasswordError::Empty),
            len if len > PASSWORD_BYTES_MAX => return Err(PasswordError::TooLong),
            _ => {}
        }
        let algorithm = HashAlgorithm::Sha256;
        let mut salt_and_hash = random.to_vec();
        salt_and_hash.extend(hash(algorithm, &random, password));
        Ok(Self {
            algorithm,
            salt_and_hash,
        })
    }

    /// Reads a hash from definitions.
    ///
    /// # Errors
    /// If the text does not fit the algorithm.
    pub fn from_base64(algorithm: HashAlgorithm, text: &str) -> Result<Self, PasswordError> {
        let salt_and_hash = STANDARD.decode(text).map_err(|_| PasswordError::Base64)?;
        let (have, expected) = (salt_and_hash.len(), SALT_BYTES + algorithm.digest_bytes());
        if have != expected {
            return Err(PasswordError::Length { have, expected });
        }
        Ok(Self {
            algorithm,
            salt_and_hash,
        })
    }

    /// Writes it for definitions.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.salt_and_hash)
    }

    /// How it was hashed.
    pub const fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// Whether this is the password. An empty one never is.
    pub fn verify(&self, password: &[u8]) -> bool {
        // A catalog that was damaged in a way no checksum caught must not panic here.
        let Some((salt, expected)) = self.salt_and_hash.split_at_checked(SALT_BYTES) else {
            return false;
        };
        let plausible = !password.is_empty() && password.len() <= PASSWORD_BYTES_MAX;
        let password = if plausible { password } else { b"" };
        let same = bool::from(hash(self.algorithm, salt, password).ct_eq(expected));
        same && plausible
    }

    /// Takes the time of a comparison with nothing to compare.
    pub(super) fn verify_nobody(password: &[u8]) -> bool {
        let nobody = Self {
            algorithm: HashAlgorithm::Sha256,
            salt_and_hash: vec![0; SALT_BYTES + 32],
        };
        // No known password has a hash of zeros, but nobody shall log in by finding one.
        std::hint::black_box(nobody.verify(password));
        false
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({}, …)", self.algorithm.as_str())
    }
}

fn hash(algorithm: HashAlgorithm, salt: &[u8], password: &[u8]) -> Vec<u8> {
    match algorithm {
        HashAlgorithm::Sha256 => Sha256::new()
            .chain_update(salt)
            .chain_update(password)
            .finalize()
            .to_vec(),
        HashAlgorithm::Sha512 => Sha512::new()
            .chain_update(salt)
            .chain_update(password)
            .finalize()
            .to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// The example of RabbitMQ's documentation.
    const TEST12: &str = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";

    #[test]
    fn a_hash_is_the_one_that_rabbitmq_makes() {
        let hash = PasswordHash::new(b"test12", [0x90, 0x8d, 0xc6, 0x0a]).unwrap();
        assert_eq!(hash.to_base64(), TEST12);
        assert_eq!(PasswordHash::from_base64(HashAlgorithm::Sha256, TEST12), Ok(hash));
    }

    #[test]
    fn only_the_right_password_fits() {
        let hash = PasswordHash::from_base64(HashAlgorithm::Sha256, TEST12).unwrap();
        assert!(hash.verify(b"test12"));
        assert!(!hash.verify(b"test1"));
        assert!(!hash.verify(b"test123"));
        assert!(!hash.verify(b""));
    }

    #[test]
    fn an_empty_password_never_fits_even_if_its_hash_is_stored() {
        let mut salt_and_hash = vec![1, 2, 3, 4];
        salt_and_hash.extend(hash(HashAlgorithm::Sha256, &[1, 2, 3, 4], b""));
        let stored = PasswordHash {
            algorithm: HashAlgorithm::Sha256,
            salt_and_hash,
        };
        assert!(!stored.verify(b""));
        assert!(!stored.verify(&vec![b'a'; PASSWORD_BYTES_MAX + 1]));
        assert_eq!(PasswordHash::new(b"", [0; 4]), Err(PasswordError::Empty));
        assert_eq!(
            PasswordHash::new(&vec![b'a'; PASSWORD_BYTES_MAX + 1], [0; 4]),
            Err(PasswordError::TooLong)
        );
    }

    #[test]
    fn sha512_is_imported() {
        let mut salt_and_hash = vec![1, 2, 3, 4];
        salt_and_hash.extend(Sha512::digest(b"\x01\x02\x03\x04secret"));
        let hash = PasswordHash::from_base64(HashAlgorithm::Sha512, &STANDARD.encode(salt_and_hash)).unwrap();
        assert!(hash.verify(b"secret"));
        assert!(!hash.verify(b"public"));
    }

    #[rstest]
    #[case("rabbit_password_hashing_sha256", "*", PasswordError::Base64)]
    #[case("rabbit_password_hashing_sha256", "AAAA", PasswordError::Length { have: 3, expected: 36 })]
    #[case("rabbit_password_hashing_sha512", TEST12, PasswordError::Length { have: 36, expected: 68 })]
    #[case("rabbit_password_hashing_md5", "", PasswordError::Algorithm("rabbit_password_hashing_md5".into()))]
    fn what_cannot_be_a_hash_is_refused(
        #[case] algorithm: &str,
        #[case] text: &str,
        #[case] error: PasswordError,
    ) {
        let read = HashAlgorithm::parse(algorithm).and_then(|found| PasswordHash::from_base64(found, text));
        assert_eq!(read, Err(error));
    }

    #[test]
    fn a_hash_is_not_printed() {
        let hash = PasswordHash::new(b"secret", [9; 4]).unwrap();
        assert_eq!(
            format!("{hash:?}"),
            "PasswordHash(rabbit_password_hashing_sha256, …)"
        );
    }
}
