//! The secret that the nodes of one installation share, and the proofs that they give each other with it.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Shortest secret, bytes.
const SECRET_BYTES_MIN: usize = 16;

/// What all nodes of an installation know and nobody else. A node signs what it passes on, so that another one believes
/// who sent it.
#[derive(Clone)]
pub struct InstallationSecret(Vec<u8>);

/// HMAC-SHA-256 (RFC 2104) over the bytes of a message, written as 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof([u8; 32]);

/// Why a text is no secret or no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Too easily guessed.
    #[error("an installation secret has at least {SECRET_BYTES_MIN} bytes")]
    ShortSecret,
    /// Not a proof's form.
    #[error("a proof is 64 hex digits")]
    NotHex,
}

impl InstallationSecret {
    /// Wraps a secret of at least 16 bytes.
    pub fn new(secret: impl AsRef<[u8]>) -> Result<Self, ProofError> {
        let secret = secret.as_ref();
        if secret.len() < SECRET_BYTES_MIN {
            return Err(ProofError::ShortSecret);
        }
        Ok(Self(secret.to_vec()))
    }

    /// The proof that a holder of the secret sent `message`.
    pub fn sign(&self, message: &[u8]) -> Proof {
        Proof(self.over(message).finalize().into_bytes().into())
    }

    /// Whether `proof` is the one of `message`; takes the same time wherever it differs.
    pub fn verifies(&self, message: &[u8], proof: &Proof) -> bool {
        self.over(message).verify_slice(&proof.0).is_ok()
    }

    fn over(&self, message: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length is a key");
        mac.update(message);
        mac
    }
}

impl fmt::Debug for InstallationSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstallationSecret(***)")
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Proof {
    type Err = ProofError;

    fn from_str(text: &str) -> Result<Self, ProofError> {
        let text = text.as_bytes();
        if text.len() != 64 {
            return Err(ProofError::NotHex);
        }
        let digit = |byte: u8| (byte as char).to_digit(16).ok_or(ProofError::NotHex);
        let mut proof = [0; 32];
        for (byte, pair) in proof.iter_mut().zip(text.chunks_exact(2)) {
            *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
        }
        Ok(Self(proof))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_test_vector_of_rfc_4231() {
        // Test case 6: a key longer than a block.
        let secret = InstallationSecret::new([0xaa; 131]).unwrap();
        let proof = secret.sign(b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(proof.to_string(), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
        assert_eq!(proof.to_string().parse::<Proof>().unwrap(), proof);
    }

    #[test]
    fn another_message_or_secret_is_not_proved() {
        let secret = InstallationSecret::new("0123456789abcdef").unwrap();
        let other = InstallationSecret::new("0123456789abcdeF").unwrap();
        let proof = secret.sign(b"a");
        assert!(
            secret.verifies(b"a", &proof) && !secret.verifies(b"b", &proof) && !other.verifies(b"a", &proof)
        );
        assert_eq!(InstallationSecret::new("short").unwrap_err(), ProofError::ShortSecret);
        assert_eq!("zz".repeat(32).parse::<Proof>(), Err(ProofError::NotHex));
        assert_eq!("12".parse::<Proof>(), Err(ProofError::NotHex));
    }
}
