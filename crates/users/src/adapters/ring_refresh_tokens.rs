//! Refresh tokens from the system's randomness.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::application::ports::RefreshTokens;
use crate::domain::{RefreshToken, RefreshTokenHash};

/// 256 random bits in base64url, recognised by the SHA-256 of that text.
pub struct RingRefreshTokens(SystemRandom);

impl Default for RingRefreshTokens {
    fn default() -> Self {
        Self(SystemRandom::new())
    }
}

impl RefreshTokens for RingRefreshTokens {
    fn generate(&self) -> RefreshToken {
        let mut bits = [0; 32];
        // As in the making of keys: without randomness nothing here is safe, and no system that boots lacks it.
        self.0.fill(&mut bits).expect("the system has randomness");
        RefreshToken::parse(URL_SAFE_NO_PAD.encode(bits)).expect("base64url is visible ASCII, 43 characters here")
    }

    fn digest(&self, token: &RefreshToken) -> RefreshTokenHash {
        let digest = digest::digest(&digest::SHA256, token.expose().as_bytes());
        RefreshTokenHash::new(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_are_recognised() {
        let tokens = RingRefreshTokens::default();
        let (a, b) = (tokens.generate(), tokens.generate());
        assert_ne!(a.expose(), b.expose());
        assert_eq!(a.expose().len(), 43);
        assert_eq!(tokens.digest(&a), tokens.digest(&RefreshToken::parse(a.expose().to_owned()).unwrap()));
        assert_ne!(tokens.digest(&a), tokens.digest(&b));
    }

    #[test]
    fn the_digest_is_sha_256() {
        let digest = RingRefreshTokens::default().digest(&RefreshToken::parse("abc".to_owned()).unwrap());
        // FIPS 180-2, appendix B.1.
        assert_eq!(digest.as_bytes()[..4], [0xba, 0x78, 0x16, 0xbf]);
    }
}
