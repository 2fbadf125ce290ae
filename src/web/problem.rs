//! Every error of the API as `application/problem+json` (RFC 9457). Decides no status of its own.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// What went wrong, for the caller: a stable `type`, a status, and a sentence that helps.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    more: Map<String, Value>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: String) -> Problem {
        Problem {
            status,
            kind,
            title,
            detail,
            more: Map::new(),
        }
    }

    /// Nothing lives at this path.
    pub(super) fn no_such_path(path: &str) -> Problem {
        let detail = format!("nothing is served at {path}");
        Problem::new(StatusCode::NOT_FOUND, "no-such-path", "No such path", detail)
    }

    /// No alarm has this id.
    pub(super) fn no_such_alarm(detail: &str) -> Problem {
        Problem::new(
            StatusCode::NOT_FOUND,
            "no-such-alarm",
            "No such alarm",
            detail.to_owned(),
        )
    }

    /// No notice to a target has this number.
    pub(super) fn no_such_delivery() -> Problem {
        Problem::new(
            StatusCode::NOT_FOUND,
            "no-such-delivery",
            "No such delivery",
            "no delivery has this number; it may have been deleted after its time".to_owned(),
        )
    }

    /// The path exists, not with this method.
    pub(super) fn method(method: &str) -> Problem {
        let detail = format!("this path does not take {method}; see the Allow header");
        Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "Method not allowed",
            detail,
        )
    }

    /// The path is no text.
    pub(super) fn path(detail: String) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "bad-path", "Bad path", detail)
    }

    /// The query has an unknown or unusable parameter.
    pub(super) fn query(detail: String) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "bad-query", "Bad query", detail)
    }

    /// The body is not what was asked for.
    pub(super) fn body(detail: String) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "bad-body", "Bad request body", detail)
    }

    /// The body is larger than `limit` bytes.
    pub(super) fn too_large(limit: usize) -> Problem {
        let detail = format!("a request body may have at most {limit} bytes");
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body-too-large",
            "Request body too large",
            detail,
        )
    }

    /// The body is not declared as JSON.
    pub(super) fn media_type() -> Problem {
        Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not-json",
            "Not JSON",
            "a request body must come with content-type: application/json".to_owned(),
        )
    }

    /// The body did not come in time.
    pub(super) fn slow() -> Problem {
        Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "request-timeout",
            "Request timeout",
            "the request body did not arrive in time".to_owned(),
        )
    }

    /// The alarm or device is in a state that does not allow it.
    pub(super) fn conflict(kind: &'static str, title: &'static str, detail: String) -> Problem {
        Problem::new(StatusCode::CONFLICT, kind, title, detail)
    }

    /// No device of this name has been heard of.
    pub(super) fn no_such_device(detail: String) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "no-such-device", "No such device", detail)
    }

    /// No command has this id.
    pub(super) fn no_such_command(detail: &str) -> Problem {
        Problem::new(
            StatusCode::NOT_FOUND,
            "no-such-command",
            "No such command",
            detail.to_owned(),
        )
    }

    /// The device's kind does not have this command.
    pub(super) fn unknown_command(detail: String) -> Problem {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "unknown-command",
            "Unknown command",
            detail,
        )
    }

    /// The device may not be opened or switched on from afar.
    pub(super) fn opening_refused(detail: String) -> Problem {
        Problem::new(
            StatusCode::FORBIDDEN,
            "opening-refused",
            "Opening refused",
            detail,
        )
    }

    /// The configuration on disk cannot come into force.
    pub(super) fn configuration(detail: String) -> Problem {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "bad-configuration",
            "Bad configuration",
            detail,
        )
    }

    /// There is no configuration on disk.
    pub(super) fn no_file(detail: String) -> Problem {
        Problem::new(StatusCode::CONFLICT, "no-file", "No configuration file", detail)
    }

    /// No token, or a wrong one.
    pub(super) fn unauthorized() -> Problem {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "Unauthorized",
            "send the configured token as Authorization: Bearer <token>".to_owned(),
        )
    }

    /// A page of another site asks the browser for it.
    pub(super) fn cross_site() -> Problem {
        Problem::new(
            StatusCode::FORBIDDEN,
            "cross-site",
            "Cross-site request",
            "a page of another site may not act here".to_owned(),
        )
    }

    /// A part that the answer needs is away, or too slow.
    pub(super) fn unavailable(detail: &str) -> Problem {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "Unavailable",
            detail.to_owned(),
        )
    }

    /// Something of ours broke; the log says what.
    pub(super) fn internal() -> Problem {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Internal error",
            "the gateway could not answer; its log says why".to_owned(),
        )
    }

    /// With an extension member.
    pub(super) fn with(mut self, name: &str, value: Value) -> Problem {
        self.more.insert(name.to_owned(), value);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut members = self.more;
        members.insert(
            "type".to_owned(),
            json!(format!("urn:ninewatch:problem:{}", self.kind)),
        );
        members.insert("title".to_owned(), json!(self.title));
        members.insert("status".to_owned(), json!(self.status.as_u16()));
        members.insert("detail".to_owned(), json!(self.detail));
        let mut response = (self.status, Value::Object(members).to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(r#"Bearer realm="ninewatch""#),
            );
        }
        response
    }
}
