//! What a mail server's answers mean: whose fault it is when it does not take a message. Names neither address nor password.

use std::time::Duration;

use lettre::transport::smtp::Error;

use crate::notify::parcel::Fault;
use crate::notify::target::SendError;

/// Why a mail server took no message, beside what it shares with other targets. The text is stored and shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::notify) enum MailError {
    /// A 4xx answer: not now.
    #[error("the mail server takes nothing for now (code {0})")]
    Busy(u16),
    /// It takes letters, but not all of them in time.
    #[error("the mail server is slow: not all letters were posted within {0:?}")]
    Slow(Duration),
    /// It refuses the connection, the login or the sender.
    #[error("the mail server refused this gateway with code {0}: look at username, password and from")]
    Gateway(u16),
    /// It does not offer TLS, or somebody on the way hides that it does.
    #[error("the mail server offers no TLS: nothing is sent to it")]
    Unencrypted,
    /// It knows no way to log in that this gateway knows.
    #[error("the mail server offers no way to log in that is known here (PLAIN, LOGIN)")]
    NoLogin,
    /// It refuses whom the message is for.
    #[error("the mail server refused the recipient with code {0}")]
    Recipient(u16),
    /// An officer's address has no form that can be written to.
    #[error("the address of a recipient is none that can be written to")]
    Address,
    /// A letter to them cannot be made.
    #[error("a letter to a recipient cannot be put together")]
    Letter,
}

impl MailError {
    pub(in crate::notify) const fn fault(&self) -> Fault {
        match self {
            MailError::Busy(_) | MailError::Slow(_) => Fault::Target,
            MailError::Gateway(_) | MailError::Unencrypted | MailError::NoLogin => Fault::Configuration,
            MailError::Recipient(_) | MailError::Address | MailError::Letter => Fault::Reader,
        }
    }
}

/// How far a conversation had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Connection, TLS from the start, greeting.
    Open,
    /// The greeting, over a connection that there is.
    Hello,
    /// The change to TLS.
    Encrypt,
    /// The login.
    Login,
    /// The sender.
    Sender,
    /// A recipient.
    Recipient,
    /// The message itself.
    Message,
}

/// What it means that `step` failed with `error`.
pub(super) fn meaning(step: Step, error: &Error) -> SendError {
    if let Some(code) = error.status() {
        return answered(step, code.into());
    }
    if error.is_client() && step == Step::Login {
        return MailError::NoLogin.into();
    }
    match step {
        Step::Open | Step::Encrypt if !error.is_response() => SendError::Connect,
        Step::Open
        | Step::Hello
        | Step::Encrypt
        | Step::Login
        | Step::Sender
        | Step::Recipient
        | Step::Message => SendError::Broken,
    }
}

/// What the answer `code` to `step` means.
pub(super) fn answered(step: Step, code: u16) -> SendError {
    match (step, code) {
        // Without TLS nothing is sent, whatever the reason.
        (Step::Encrypt, _) => MailError::Unencrypted.into(),
        (_, 400..500) => MailError::Busy(code).into(),
        // RFC 4954 §6: a login is required, too weak, or wrong.
        (_, 530 | 534 | 535 | 538) | (Step::Open | Step::Hello | Step::Login | Step::Sender, _) => {
            MailError::Gateway(code).into()
        }
        (Step::Recipient, _) => MailError::Recipient(code).into(),
        (Step::Message, _) => SendError::Refused(code.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_classes_by_the_step_they_answer() {
        for (step, code, fault) in [
            (Step::Open, 421, Fault::Target),
            (Step::Open, 554, Fault::Configuration),
            (Step::Hello, 421, Fault::Target),
            (Step::Hello, 554, Fault::Configuration),
            (Step::Encrypt, 454, Fault::Configuration),
            (Step::Login, 454, Fault::Target),
            (Step::Login, 535, Fault::Configuration),
            (Step::Login, 534, Fault::Configuration),
            (Step::Sender, 530, Fault::Configuration),
            (Step::Sender, 550, Fault::Configuration),
            (Step::Sender, 451, Fault::Target),
            (Step::Recipient, 450, Fault::Target),
            (Step::Recipient, 550, Fault::Reader),
            (Step::Recipient, 553, Fault::Reader),
            (Step::Recipient, 530, Fault::Configuration),
            (Step::Message, 452, Fault::Target),
            (Step::Message, 552, Fault::Notice),
            (Step::Message, 554, Fault::Notice),
        ] {
            assert_eq!(answered(step, code).fault(), fault, "{step:?} {code}");
        }
    }
}
