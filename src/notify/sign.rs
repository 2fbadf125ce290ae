//! Standard Webhooks signatures: HMAC-SHA256 over `{id}.{timestamp}.{body}`. Never sends, never logs the key.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a secret in the Standard Webhooks notation starts with; base64 follows.
const PREFIX: &str = "whsec_";

/// A signing key, set up once.
#[derive(Clone)]
pub(super) struct Signer(Hmac<Sha256>);

impl Signer {
    /// The signer of this secret: `whsec_` and base64 stands for the decoded bytes, anything else for itself.
    pub(super) fn new(secret: &str) -> Signer {
        let decoded = secret
            .strip_prefix(PREFIX)
            .and_then(|base64| STANDARD.decode(base64).ok());
        let key = decoded.as_deref().unwrap_or(secret.as_bytes());
        Signer(keyed(key))
    }

    /// The value of `webhook-signature` for a message sent at `timestamp` (seconds since 1970).
    pub(super) fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(id.as_bytes());
        mac.update(b".");
        mac.update(timestamp.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<signer>")
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 §2)")]
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01KDVQX8000000000000000000";
    const AT: i64 = 1_767_225_600;
    const BODY: &[u8] = br#"{"id":"01KDVQX8000000000000000000","type":"alarm.raised"}"#;

    /// The example that the Standard Webhooks libraries share.
    #[test]
    fn the_published_example_holds() {
        let signer = Signer::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(
            signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    /// Computed with `printf '%s' "$id.$timestamp.$body" | openssl dgst -sha256 -hmac "$key" -binary | base64`.
    #[test]
    fn both_notations_of_a_secret_sign_as_openssl_does() {
        let encoded = Signer::new("whsec_bmluZXdhdGNoLXNpZ25pbmcta2V5LTAxMjM0NTY3ODk=");
        let plain = Signer::new("ninewatch-signing-key-0123456789");
        let expected = "v1,XXLu9dlwmRuhV+7sx0XV2Gl86+gMLLT0VOp3yU7+uwk=";
        assert_eq!(encoded.sign(ID, AT, BODY), expected);
        assert_eq!(plain.sign(ID, AT, BODY), expected);
        assert_eq!(
            Signer::new("plain text key").sign(ID, AT, BODY),
            "v1,MMWXlbZHOKfxBvmxYie0QQg/MhcViz+gSsyysWZHwxU="
        );
    }

    #[test]
    fn the_key_is_not_shown() {
        assert_eq!(format!("{:?}", Signer::new("plain text key")), "<signer>");
    }
}
