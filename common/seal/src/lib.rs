//! Sealing a value to a program: whoever has its public key can, and nobody but the program can open it.
//!
//! It is HPKE in its base mode (RFC 9180) with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM. The keys are the nkeys
//! that the programs have anyway: Ed25519 keys, which stand for X25519 keys as in libsodium's `crypto_sign_ed25519_pk_to_curve25519`
//! and age's `ssh-ed25519` recipients. That using a key for both is sound is shown in E. Thormarker, "On using the same key pair for
//! Ed25519 and an X25519 based KEM", IACR ePrint 2021/509.
//!
//! What is sealed is bound to a service and a reference: it opens for no other, so that nobody can have it by deploying it
//! somewhere else. Its length shows.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cutover_core::{Reference, SealedValue, ServiceKey};
use ed25519_dalek::{SigningKey, VerifyingKey};
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{
    Deserializable, HpkeError, Kem, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal,
};
use zeroize::Zeroizing;

type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type EncappedKey = <X25519HkdfSha256 as Kem>::EncappedKey;

/// The length of an encapsulated key in bytes (RFC 9180, 7.1).
const ENCAPPED: usize = 32;

/// What a sealed value is for.
#[derive(Clone, Copy, Debug)]
pub struct Purpose<'a> {
    /// The service that is deployed.
    pub service: &'a ServiceKey,
    /// What its value is of.
    pub reference: &'a Reference,
}

/// Why something can't be sealed or opened. Nothing of a value is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A key that is none.
    #[error("that is no nkey of a user")]
    Key,
    /// What is there was sealed by nobody.
    #[error("it isn't what was sealed")]
    Malformed,
    /// It was sealed to another key, or for another service or reference, or was altered.
    #[error("it was sealed to another key, or for something else")]
    Foreign,
    /// HPKE refuses.
    #[error("it can't be sealed: {0}")]
    Seal(#[source] HpkeError),
}

/// A program's own key, which opens what was sealed to it. It doesn't print.
pub struct Opener(PrivateKey);

impl Purpose<'_> {
    /// What HPKE binds the value to.
    fn info(&self) -> Vec<u8> {
        let Self { service: ServiceKey { destination, service }, reference } = self;
        format!("cutover sealed 1\n{destination}\n{service}\n{reference}").into_bytes()
    }
}

/// Seals a value to the program that has this public nkey.
///
/// # Errors
/// A key that is none.
pub fn seal(value: &str, reader: &str, purpose: Purpose<'_>) -> Result<SealedValue, Error> {
    let (_, key) = nkeys::from_public_key(reader).map_err(|_| Error::Key)?;
    let key = VerifyingKey::from_bytes(&key).map_err(|_| Error::Key)?.to_montgomery();
    let key = PublicKey::from_bytes(key.as_bytes()).map_err(|_| Error::Key)?;
    let sealed = single_shot_seal::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &key,
        &purpose.info(),
        value.as_bytes(),
        &[],
    );
    let (encapped, sealed) = sealed.map_err(Error::Seal)?;
    let text = BASE64_STANDARD.encode([encapped.to_bytes().as_slice(), &sealed].concat());
    Ok(SealedValue { to: reader.to_owned(), text })
}

impl Opener {
    /// By the seed of an nkey.
    ///
    /// # Errors
    /// A text that is no seed.
    pub fn from_seed(seed: &str) -> Result<Self, Error> {
        let (_, seed) = nkeys::decode_seed(seed).map_err(|_| Error::Key)?;
        let scalar = Zeroizing::new(SigningKey::from_bytes(&Zeroizing::new(seed)).to_scalar_bytes());
        PrivateKey::from_bytes(scalar.as_slice()).map(Self).map_err(|_| Error::Key)
    }

    /// The value that was sealed.
    ///
    /// # Errors
    /// What was sealed to another key, or for another purpose, or by nobody.
    pub fn open(&self, sealed: &SealedValue, purpose: Purpose<'_>) -> Result<Zeroizing<String>, Error> {
        let sealed = BASE64_STANDARD.decode(&sealed.text).map_err(|_| Error::Malformed)?;
        let (encapped, sealed) = sealed.split_at_checked(ENCAPPED).ok_or(Error::Malformed)?;
        let encapped = EncappedKey::from_bytes(encapped).map_err(|_| Error::Malformed)?;
        let opened = single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.0,
            &encapped,
            &purpose.info(),
            sealed,
            &[],
        );
        let opened = Zeroizing::new(opened.map_err(|_| Error::Foreign)?);
        let text = std::str::from_utf8(&opened).map_err(|_| Error::Malformed)?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opener(…)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use nkeys::KeyPair;

    use super::*;

    fn service(name: &str) -> ServiceKey {
        ServiceKey { destination: "production".parse().unwrap(), service: name.parse().unwrap() }
    }

    fn opener(pair: &KeyPair) -> Opener {
        Opener::from_seed(&pair.seed().unwrap()).unwrap()
    }

    #[test]
    fn only_the_reader_opens_it_and_for_nothing_else() {
        let (reader, other) = (KeyPair::new_user(), KeyPair::new_user());
        let (shop, bank) = (service("shop"), service("bank"));
        let password: Reference = "env://PASSWORD".parse().unwrap();
        let token: Reference = "env://TOKEN".parse().unwrap();
        let purpose = Purpose { service: &shop, reference: &password };
        for value in ["hunter2", "", "two\nlines é 🚀", &"x".repeat(64 * 1024)] {
            let sealed = seal(value, &reader.public_key(), purpose).unwrap();
            assert_eq!(opener(&reader).open(&sealed, purpose).unwrap().as_str(), value);
            assert_eq!(opener(&other).open(&sealed, purpose), Err(Error::Foreign));
            for foreign in [
                Purpose { service: &bank, reference: &password },
                Purpose { service: &shop, reference: &token },
            ] {
                assert_eq!(opener(&reader).open(&sealed, foreign), Err(Error::Foreign));
            }
            assert_ne!(seal(value, &reader.public_key(), purpose).unwrap(), sealed, "the same twice");
        }
    }

    #[test]
    fn what_was_altered_or_never_sealed_is_refused() {
        let pair = KeyPair::new_user();
        let (shop, reference) = (service("shop"), "env://PASSWORD".parse().unwrap());
        let purpose = Purpose { service: &shop, reference: &reference };
        let whole = seal("hunter2", &pair.public_key(), purpose).unwrap();
        let with = |text: String| SealedValue { text, ..whole.clone() };
        let sealed = BASE64_STANDARD.decode(&whole.text).unwrap();
        for place in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[place] ^= 1;
            let altered = with(BASE64_STANDARD.encode(altered));
            assert_eq!(opener(&pair).open(&altered, purpose), Err(Error::Foreign));
        }
        for text in ["", "hunter2", "aHVudGVyMg=="] {
            assert_eq!(opener(&pair).open(&with(text.to_owned()), purpose), Err(Error::Malformed), "{text}");
        }
        assert_eq!(seal("a", "UABC", purpose), Err(Error::Key));
        assert!(Opener::from_seed("SUABC").is_err());
    }
}
