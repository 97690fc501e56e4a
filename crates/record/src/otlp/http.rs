//! OTLP over HTTP: protobuf and JSON bodies, plain or packed.

use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode, header};

use super::Call;
use super::form::{self, Form, Refused, text};
use super::grpc::field;
use super::intake::{Encoding, Origin, Refusal};

/// Serves one export request.
pub(super) async fn export(call: Call, request: Request<Body>) -> Response<Body> {
    let Call { intake, forward, signal, turn, peer, max_request } = call;
    let (head, body) = request.into_parts();
    let announced = text(&head.headers, header::CONTENT_LENGTH).parse().unwrap_or(0);
    let encoding = form::encoding(&head.headers);
    let taken = async {
        let form = Form::of(&head.headers)?;
        let bytes = to_bytes(body, max_request).await.map_err(|e| unreadable(&e))?;
        let bytes = form.unpack(bytes, max_request)?;
        let compression = form.packing.name();
        let origin = Origin { peer, transport: "http", content_type: form.content_type, compression };
        let copy = forward.map(|forward| (forward, bytes.clone()));
        let taken = intake.take(signal, form.encoding, bytes, origin, turn).await;
        taken.map_err(|refusal| (status(&refusal), refusal.to_string()))?;
        if let Some((forward, bytes)) = copy {
            forward.offer(signal, form.encoding, false, &head.headers, bytes);
        }
        Ok(())
    };
    match taken.await {
        Ok(()) => answer(StatusCode::OK, encoding, None),
        Err((status, message)) => {
            let retry = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
            intake.refused(retry, announced);
            answer(status, encoding, Some(&message))
        }
    }
}

/// The answer to a request without our token.
pub(super) fn unauthorized(headers: &axum::http::HeaderMap) -> Response<Body> {
    answer(StatusCode::UNAUTHORIZED, form::encoding(headers), Some(UNAUTHORIZED))
}

/// What is told to who brings no token, or a wrong one.
pub(super) const UNAUTHORIZED: &str = "a bearer token is needed here, and this request has none or another one";

fn unreadable(error: &axum::Error) -> Refused {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(e) = cause {
        if e.is::<http_body_util::LengthLimitError>() {
            return (StatusCode::PAYLOAD_TOO_LARGE, "the request is larger than allowed".into());
        }
        cause = e.source();
    }
    (StatusCode::BAD_REQUEST, format!("the body cannot be read: {error}"))
}

fn status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Malformed(_) | Refusal::NotJson(_) => StatusCode::BAD_REQUEST,
        Refusal::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Behind => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Ended(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// An Export*ServiceResponse without fields (all was accepted), or a `google.rpc.Status` with the message only.
fn answer(status: StatusCode, encoding: Encoding, message: Option<&str>) -> Response<Body> {
    let body = match (encoding, message) {
        (Encoding::Protobuf, None) => Vec::new(),
        (Encoding::Protobuf, Some(message)) => field(2, message.as_bytes()),
        (Encoding::Json, None) => b"{}".to_vec(),
        (Encoding::Json, Some(message)) => serde_json::json!({ "message": message }).to_string().into_bytes(),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(encoding.media()));
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    }
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}
