//! Families: how samples stand in the text formats.

use std::fmt::Write;

use super::samples::Out;

/// A sample in its family.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Family {
    /// Name of the family.
    pub(super) name: String,
    /// Its type, as OpenMetrics calls it.
    pub(super) kind: &'static str,
}

impl Family {
    /// The family of a sample, by the type that its source declared. One whose name does not fit its type is of unknown type.
    pub(super) fn of(name: &str, kind: &str) -> Family {
        let (kind, suffixes): (&'static str, &[&str]) = match kind {
            "counter" => ("counter", &["_total", "_created"]),
            "gauge" => ("gauge", &[""]),
            "histogram" => ("histogram", &["_bucket", "_count", "_sum", "_created"]),
            "gaugehistogram" => ("gaugehistogram", &["_bucket", "_gcount", "_gsum"]),
            "summary" => ("summary", &["_count", "_sum", "_created", ""]),
            "info" => ("info", &["_info"]),
            "stateset" => ("stateset", &[""]),
            _ => ("unknown", &[""]),
        };
        let family = suffixes.iter().find_map(|s| name.strip_suffix(s).filter(|f| !f.is_empty()));
        match family {
            Some(family) => Family { name: family.to_owned(), kind },
            None => Family { name: name.to_owned(), kind: "unknown" },
        }
    }

    /// The same name, of unknown type: where another type was declared for it first.
    pub(super) fn unknown(name: &str) -> Family {
        Family { name: name.to_owned(), kind: "unknown" }
    }
}

/// Whether names can stand without quotes: what is older than Prometheus 3 reads no others.
pub(super) fn is_plain(out: &Out) -> bool {
    let fits = |text: &str, more: &[u8]| {
        !text.starts_with(|c: char| c.is_ascii_digit())
            && !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    fits(&out.sample.name, b"_:") && out.labels.iter().all(|(n, _)| fits(n, b"_"))
}

/// Labels but those that tell the parts of one histogram or summary apart: samples of one metric stand together.
pub(super) fn metric_key(out: &Out, family: &Family) -> String {
    let part = match family.kind {
        "histogram" | "gaugehistogram" => "le",
        "summary" => "quantile",
        _ => "",
    };
    let mut key = String::new();
    write_labels(out.labels.iter().filter(|(n, _)| n != part), &mut key);
    key
}

/// The name with its labels, as in both text formats.
pub(super) fn write_series(out: &Out, text: &mut String) {
    text.push_str(&out.sample.name);
    if !out.labels.is_empty() {
        text.push('{');
        write_labels(out.labels.iter(), text);
        text.push('}');
    }
}

fn write_labels<'a>(labels: impl Iterator<Item = &'a (String, String)>, text: &mut String) {
    let mut between = "";
    for (name, value) in labels {
        _ = write!(text, "{between}{name}=\"");
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
        between = ",";
    }
}

/// A value, shortest so that it is read as the same.
pub(super) fn write_value(value: f64, text: &mut String) {
    _ = match value {
        v if v.is_nan() => write!(text, "NaN"),
        f64::INFINITY => write!(text, "+Inf"),
        f64::NEG_INFINITY => write!(text, "-Inf"),
        v if v != 0.0 && !(1e-7..1e17).contains(&v.abs()) => write!(text, "{v:e}"),
        v => write!(text, "{v}"),
    };
}

/// Milliseconds as seconds.
pub(super) fn write_seconds(ms: i64, text: &mut String) {
    let sign = if ms < 0 { "-" } else { "" };
    _ = write!(text, "{sign}{}.{:03}", ms.unsigned_abs() / 1000, ms.unsigned_abs() % 1000);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_finds_its_family() {
        let of = |name, kind| {
            let f = Family::of(name, kind);
            (f.name, f.kind)
        };
        assert_eq!(of("a_total", "counter"), ("a".into(), "counter"));
        assert_eq!(of("a", "counter"), ("a".into(), "unknown"), "OpenMetrics has no counter without _total");
        assert_eq!(of("h_bucket", "histogram"), ("h".into(), "histogram"));
        assert_eq!(of("s", "summary"), ("s".into(), "summary"));
        assert_eq!(of("u", "untyped"), ("u".into(), "unknown"));
        assert_eq!(of("_total", "counter"), ("_total".into(), "unknown"));
    }

    #[test]
    fn numbers_are_read_back_as_they_were() {
        let text = |v| {
            let mut out = String::new();
            write_value(v, &mut out);
            out
        };
        for v in [0.0, -0.0, 0.1, 1.0, 1e300, -2.5e-12, 123_456_789.125, f64::MAX, f64::MIN_POSITIVE] {
            assert_eq!(text(v).parse::<f64>().map(f64::to_bits), Ok(v.to_bits()));
        }
        assert_eq!((text(f64::INFINITY), text(f64::NAN)), ("+Inf".into(), "NaN".into()));
        let mut out = String::new();
        write_seconds(-1_005, &mut out);
        assert_eq!(out, "-1.005");
    }
}
