//! Who may use the API: nobody is asked, or everybody shows the one token. Holds no session.

use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::problem::Problem;
use crate::config::Auth;

/// What a request has to show.
#[derive(Clone)]
pub(super) enum Gate {
    /// Nothing.
    Open,
    /// A token with this digest.
    Token(Arc<[u8]>),
}

impl Gate {
    /// The gate of these settings.
    pub(super) fn new(auth: &Auth) -> Gate {
        match auth {
            Auth::None => Gate::Open,
            Auth::Token(secret) => {
                let digest = digest(secret.expose().as_bytes()).finalize().into_bytes();
                Gate::Token(Arc::from(digest.as_slice()))
            }
        }
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        match self {
            Gate::Open => true,
            // Digests are compared, in constant time: how long it takes says nothing about the token.
            Gate::Token(expected) => {
                bearer(headers).is_some_and(|token| digest(token).verify_slice(expected).is_ok())
            }
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Gate::Open => "Open",
            Gate::Token(_) => "Token(<secret>)",
        })
    }
}

/// Lets a request through or says why not.
pub(super) async fn check(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    if !gate.admits(request.headers()) {
        Problem::unauthorized().into_response()
    } else if acts(request.method()) && is_cross_site(request.headers()) {
        Problem::cross_site().into_response()
    } else {
        next.run(request).await
    }
}

fn acts(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

/// Whether a browser says that another site's page sends this. Without a token nothing else would keep any page
/// that an officer visits from acknowledging alarms on the loopback address.
fn is_cross_site(headers: &HeaderMap) -> bool {
    headers
        .get("sec-fetch-site")
        .is_some_and(|site| site == "cross-site" || site == "same-site")
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 §2)")]
fn digest(token: &[u8]) -> Hmac<Sha256> {
    let mut mac: Hmac<Sha256> =
        Hmac::new_from_slice(b"ninewatch token").expect("HMAC takes a key of any length");
    mac.update(token);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn admits(gate: &Gate, value: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        gate.admits(&headers)
    }

    #[test]
    fn only_the_whole_token_under_the_right_scheme_opens() {
        let gate = Gate::new(&Auth::Token(Secret::new("s3cret".to_owned())));
        for good in ["Bearer s3cret", "bearer s3cret", "BEARER  s3cret "] {
            assert!(admits(&gate, good), "{good:?}");
        }
        for bad in [
            "Bearer s3cre",
            "Bearer s3crets",
            "Bearer ",
            "Bearer",
            "Basic s3cret",
            "s3cret",
            "Bearers3cret",
        ] {
            assert!(!admits(&gate, bad), "{bad:?}");
        }
        assert!(!gate.admits(&HeaderMap::new()));
        assert!(Gate::Open.admits(&HeaderMap::new()));
    }

    #[test]
    fn the_gate_does_not_show_its_token() {
        let gate = Gate::new(&Auth::Token(Secret::new("s3cret".to_owned())));
        assert_eq!(format!("{gate:?}"), "Token(<secret>)");
    }
}
