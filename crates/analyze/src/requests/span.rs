//! The span that a request belongs to, by the `traceparent` in its bytes (W3C Trace Context, 3.2).

use std::collections::HashMap;

use coldcase_model::analysis::{SeenRequest, SpanOf};
use coldcase_timeline::Timeline;

/// The span that a header names; `None` for one that is not valid.
pub(super) fn of(traceparent: &str) -> Option<SpanOf> {
    let mut parts = traceparent.trim().split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, n: usize| {
        text.len() == n && text.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
    };
    let is_zero = |text: &str| text.bytes().all(|b| b == b'0');
    // Later versions may have more parts; version 0 has none.
    let whole = is_hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
    if !whole || !is_hex(trace, 32) || !is_hex(span, 16) || !is_hex(flags, 2) || is_zero(trace) || is_zero(span) {
        return None;
    }
    Some(SpanOf { trace: trace.to_owned(), span: span.to_owned(), name: None, how: "traceparent".to_owned() })
}

/// Names the spans that are in the bundle.
pub(crate) fn name(requests: &mut [SeenRequest], t: &Timeline) {
    if requests.iter().all(|r| r.span.is_none()) {
        return;
    }
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let spans = t.spans().iter().map(|s| &s.span);
    let names: HashMap<(String, String), &str> =
        spans.filter_map(|s| Some(((hex(&s.trace?.0), hex(&s.id?.0)), s.name.as_str()))).collect();
    for span in requests.iter_mut().filter_map(|r| r.span.as_mut()) {
        span.name = names.get(&(span.trace.clone(), span.span.clone())).map(|&name| name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn only_a_valid_traceparent_names_a_span() {
        let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let span = of(valid).unwrap_or_default();
        assert_eq!((span.trace.as_str(), span.span.as_str()), (&valid[3..35], &valid[36..52]));
        assert!(of("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more").is_some());
        for bad in [
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7-b7ad6b7169203331-01",
            "",
        ] {
            assert!(of(bad).is_none(), "{bad}");
        }
    }
}
