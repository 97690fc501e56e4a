//! OTLP requests behind lengths, as the OpenTelemetry Collector's file exporter writes them.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use coldcase_bundle::{BatchBody, Bundle};
use coldcase_import::{Format, Imported, Options, import};

/// Length-delimited field of fewer than 128 bytes.
fn field(number: u8, body: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, body.len() as u8][..], body].concat()
}

/// A request with one log record.
fn record(time: u8) -> Vec<u8> {
    field(1, &field(2, &field(2, &[1 << 3 | 1, time, 0, 0, 0, 0, 0, 0, 1])))
}

fn framed(requests: &[Vec<u8>]) -> Vec<u8> {
    requests.iter().flat_map(|r| [&(r.len() as u32).to_be_bytes()[..], r].concat()).collect()
}

fn imported(dir: &Path, name: &str, bytes: &[u8]) -> Option<(Imported, Bundle)> {
    let (file, case) = (dir.join(name), dir.join(format!("{name}.case")));
    std::fs::write(&file, bytes).unwrap();
    let done = import(&[file], &case, &Options::default()).ok()?;
    Some((done.files[0].clone(), Bundle::open(&case).unwrap()))
}

fn raw(bundle: &Bundle, stream: &str) -> Vec<Vec<u8>> {
    let batches = (0..bundle.chunks().len()).flat_map(|i| bundle.read_chunk(i, &|s| s == stream).unwrap());
    let bytes = |body| if let BatchBody::Raw(bytes) = body { bytes } else { Vec::new() };
    batches.map(|b| bytes(b.body)).collect()
}

#[test]
fn requests_keep_their_bytes_and_tell_their_signal() {
    let dir = tempfile::tempdir().unwrap();
    // An empty request tells nothing: the one before it does.
    let requests = [record(1), Vec::new(), record(2)];
    let (told, bundle) = imported(dir.path(), "otel.out", &framed(&requests)).unwrap();
    assert_eq!((told.format, told.messages, told.items, told.problem), (Format::Otlp, 3, 2, None));
    assert_eq!(told.bytes, framed(&requests).len() as u64);
    assert_eq!(raw(&bundle, "otlp.logs"), requests);
}

#[test]
fn profiles_are_known_by_their_name_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let profile = [&field(1, &field(2, &field(2, b"")))[..], &field(2, b"")].concat();
    let (told, bundle) = imported(dir.path(), "profiles.pb", &framed(&[Vec::new(), profile.clone()])).unwrap();
    assert_eq!((told.messages, told.items, told.problem), (2, 0, None));
    assert_eq!(raw(&bundle, "otlp.profiles"), [Vec::new(), profile]);
}

#[test]
fn json_with_line_breaks_is_framed_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let request = b"{\n \"resourceSpans\": []\n}\n".to_vec();
    let (told, bundle) = imported(dir.path(), "traces.json.framed", &framed(std::slice::from_ref(&request))).unwrap();
    assert_eq!((told.messages, told.problem), (1, None));
    assert_eq!(raw(&bundle, "otlp.traces.json"), [request]);
}

#[test]
fn a_file_cut_anywhere_is_imported_up_to_there() {
    let dir = tempfile::tempdir().unwrap();
    let whole = framed(&[record(1), record(2)]);
    let one = whole.len() / 2;
    for end in one + 1..whole.len() {
        let (told, _) = imported(dir.path(), &format!("cut-{end}"), &whole[..end]).unwrap();
        assert_eq!((told.messages, told.bytes_lost), (1, (end - one) as u64), "{end}");
        assert!(told.problem.unwrap().contains("ends within"));
    }
    let endless = [&whole[..], &u32::MAX.to_be_bytes(), b"x"].concat();
    let (told, _) = imported(dir.path(), "endless", &endless).unwrap();
    assert!(told.messages == 2 && told.problem.unwrap().contains("no bundle takes"));
}

#[test]
fn what_only_looks_framed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("zeros", &[0u8; 64][..]),
        ("long", &[0xff; 64][..]),
        ("other", &[0, 0, 0, 9, 0x0a, 50, 1, 2, 3, 4, 5, 6, 7][..]),
    ] {
        assert!(imported(dir.path(), name, bytes).is_none(), "{name}");
    }
}
