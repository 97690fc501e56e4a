//! The reports of sample analyses: what the terminal shows, that hostile text stays text, that the same input gives
//! the same bytes, and that nothing grows without bound.
#![allow(clippy::unwrap_used, clippy::panic)]

mod sample;

use coldcase_model::analysis::{Analysis, Flame, MetricSeries, SeenRequest, SentSegment, Sequence};
use coldcase_report::{
    findings_json, flame_svg, flow_svg, latency_svg, render_all, report_html, sequence_svg, terminal,
};

/// Everything that is written for an analysis, by name.
fn outputs(a: &Analysis) -> Vec<(&'static str, String)> {
    vec![
        ("report.html", report_html(a).unwrap()),
        ("flame.svg", flame_svg(a).unwrap()),
        ("latency.svg", latency_svg(a).unwrap()),
        ("flow.svg", flow_svg(a).unwrap()),
        ("findings.json", findings_json(a).unwrap()),
        ("terminal", terminal::summary(a, 100, false)),
        ("sequence.svg", a.flow.sequences.first().map_or_else(|| flow_svg(a), |s| sequence_svg(a, s)).unwrap()),
    ]
}

fn samples() -> [(&'static str, Analysis); 3] {
    [("incident", sample::incident()), ("empty", Analysis::default()), ("hostile", sample::hostile())]
}

#[test]
fn the_terminal_summary_reads_like_this() {
    insta::assert_snapshot!("summary", terminal::summary(&sample::incident(), 100, false));
    insta::assert_snapshot!("summary_of_nothing", terminal::summary(&Analysis::default(), 80, false));
}

#[test]
fn the_terminal_summary_fits_its_width_and_colours_only_when_asked() {
    for (name, a) in samples() {
        for width in [40, 60, 80, 120] {
            let text = terminal::summary(&a, width, false);
            assert!(!text.contains('\x1b'), "{name} at {width}");
            for line in text.lines() {
                assert!(line.chars().count() <= width, "{name} at {width}: {line}");
            }
        }
    }
    let coloured = terminal::summary(&sample::hostile(), 100, true);
    let escapes = coloured.matches('\x1b').count();
    let known = coloured.matches("\x1b[0m").count() * 2;
    assert!(escapes > 0 && escapes == known, "every escape is one of ours");
}

#[test]
fn hostile_text_stays_text_in_every_output() {
    for (name, text) in outputs(&sample::hostile()) {
        assert!(!text.contains('\x1b'), "{name} holds an escape");
        for hidden in ['\u{9b}', '\u{202e}', '\0', '\u{ffff}'] {
            assert!(!text.contains(hidden), "{name} holds {hidden:?}");
        }
        if name.ends_with("html") || name.ends_with("svg") {
            assert!(!text.contains("<script>alert"), "{name}");
            assert!(!text.contains("<img"), "{name}");
            assert!(!text.contains("<!--"), "{name}");
        }
    }
    let page = report_html(&sample::hostile()).unwrap();
    assert_eq!(page.matches("<script").count(), 4, "theme, values, flame graphs, page");
    assert_eq!(page.matches("</script").count(), 4);
    assert!(page.contains("&lt;/script&gt;&lt;script&gt;alert(1)"), "the text is shown");
}

#[test]
fn pictures_are_well_formed_xml() {
    for (sample, a) in samples() {
        for (name, text) in outputs(&a).into_iter().filter(|o| o.0.ends_with("svg")) {
            let mut reader = quick_xml::Reader::from_str(&text);
            reader.config_mut().check_end_names = true;
            let mut elements = 0;
            loop {
                match reader.read_event() {
                    Ok(quick_xml::events::Event::Eof) => break,
                    Ok(quick_xml::events::Event::Start(e) | quick_xml::events::Event::Empty(e)) => {
                        elements += 1;
                        for attribute in e.attributes() {
                            let key = attribute.unwrap_or_else(|e| panic!("{sample} {name}: {e}")).key;
                            assert!(!key.as_ref().starts_with(b"on"), "{sample} {name} has a handler");
                        }
                    }
                    Ok(_) => {}
                    Err(e) => panic!("{sample} {name} at {}: {e}", reader.error_position()),
                }
            }
            assert!(elements > 3, "{sample} {name}");
            assert!(text.chars().all(|c| c == '\n' || c as u32 >= 0x20), "{sample} {name} has a control character");
        }
    }
}

#[test]
fn the_page_allows_no_network_and_no_foreign_script() {
    for (_, a) in samples() {
        let page = report_html(&a).unwrap();
        assert!(page.contains("default-src 'none'; script-src 'sha256-"));
        assert_eq!(page.matches("'sha256-").count(), 3);
        for outside in [" src=", "@import", "url(", "href=\"http", "fetch(", "XMLHttpRequest", "sendBeacon"] {
            let plain = page.replace("img src=x", "");
            assert!(!plain.contains(outside), "{outside}");
        }
    }
}

#[test]
fn the_values_of_the_page_are_json() {
    for (name, a) in samples() {
        let page = report_html(&a).unwrap();
        let island = page.split("id=\"values\">").nth(1).unwrap().split("</script>").next().unwrap();
        let values: serde_json::Value = serde_json::from_str(island).unwrap();
        assert!(values["charts"].is_object(), "{name}");
        for id in page.split("data-chart=\"").skip(1).map(|r| r.split('"').next().unwrap()) {
            assert!(values["charts"][id]["box"].is_array(), "{name}: {id} has values");
        }
    }
}

#[test]
fn the_same_analysis_gives_the_same_bytes() {
    for (name, a) in samples() {
        assert!(outputs(&a) == outputs(&a.clone()), "{name}");
    }
}

#[test]
fn all_files_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("new/report");
    let written = render_all(&sample::incident(), &out).unwrap();
    let sizes: u64 = written.files.iter().map(|f| std::fs::metadata(f).unwrap().len()).sum();
    assert_eq!(written.files.len(), 5);
    assert_eq!(written.bytes, sizes);
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = render_all(&sample::incident(), &file.join("report")).unwrap_err().to_string();
    assert!(error.starts_with("cannot write ") && error.contains("report"), "{error}");
}

#[test]
fn findings_follow_their_schema() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../formats/findings.schema.json");
    let schema: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for (name, a) in samples() {
        let document: serde_json::Value = serde_json::from_str(&findings_json(&a).unwrap()).unwrap();
        follows(&document, &schema, &schema, name);
    }
    assert_eq!(schema["properties"]["schema"]["const"], coldcase_report::SCHEMA);
}

/// A check of the parts of JSON Schema that ours uses: type, properties, required, no others, items, $ref, anyOf.
fn follows(value: &serde_json::Value, schema: &serde_json::Value, root: &serde_json::Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let target = name.trim_start_matches("#/$defs/");
        return follows(value, &root["$defs"][target], root, at);
    }
    let types: Vec<&str> = match &schema["type"] {
        serde_json::Value::String(t) => vec![t],
        serde_json::Value::Array(t) => t.iter().filter_map(|t| t.as_str()).collect(),
        _ => vec![],
    };
    let is = |t: &str| match t {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("{at}: unknown type {other}"),
    };
    assert!(types.is_empty() || types.iter().any(|t| is(t)), "{at}: {value} is not {types:?}");
    if let Some(object) = value.as_object()
        && let Some(properties) = schema["properties"].as_object()
    {
        for required in schema["required"].as_array().into_iter().flatten() {
            assert!(object.contains_key(required.as_str().unwrap()), "{at} lacks {required}");
        }
        for (key, inner) in object {
            let known = properties.get(key).unwrap_or_else(|| panic!("{at}: {key} is not in the schema"));
            follows(inner, known, root, &format!("{at}.{key}"));
        }
    }
    for item in value.as_array().into_iter().flatten().take(50) {
        if schema["items"].is_object() {
            follows(item, &schema["items"], root, &format!("{at}[]"));
        }
    }
}

#[test]
fn a_large_analysis_makes_a_bounded_page_that_says_what_it_left_out() {
    let mut a = sample::incident();
    let connection = a.flow.connections[0].clone();
    a.flow.connections = (0..4_300u64)
        .map(|i| {
            let mut c = connection.clone();
            c.bytes_ab = i;
            c
        })
        .collect();
    let edge = a.flow.edges[0].clone();
    a.flow.edges = (0..900)
        .map(|i| {
            let mut e = edge.clone();
            e.from = format!("client-{}", i % 70);
            e.to = format!("server-{i}:80");
            e
        })
        .collect();
    let metric = a.metrics[0].clone();
    a.metrics = (0..700).map(|i| MetricSeries { name: format!("m{i}"), ..metric.clone() }).collect();
    let stacks =
        (0..60_000u64).map(|i| (format!("process {};f{};g{};h{i}", i % 9, i % 70, i % 700), 1 + i % 5)).collect();
    a.flames[0] = Flame { kind: "on-cpu".into(), unit: "samples".into(), by: "process".into(), stacks };
    let line = a.worst.as_ref().unwrap().logs[0].clone();
    a.worst.as_mut().unwrap().logs = vec![line; 20_000];
    let latency = a.latencies[0].clone();
    a.latencies.extend((0..300).map(|i| {
        let mut l = latency.clone();
        l.name = format!("span {i}");
        l
    }));
    let request = a.flow.requests[2].clone();
    a.flow.requests = (0..20_000).map(|i| SeenRequest { duration: Some(i), ..request.clone() }).collect();
    a.flow.request_kinds = vec![a.flow.request_kinds[0].clone(); 3_000];
    a.flow.vanished = vec![a.flow.vanished[0].clone(); 900];
    a.flow.sequences = vec![Sequence { length: 6_000_000, ..a.flow.sequences[0].clone() }; 9];
    for way in a.flow.sequences.iter_mut().flat_map(|s| &mut s.ways) {
        let segment = way.segments[1];
        way.segments = (0..6_000).map(|i| SentSegment { time: i * 1_000, seq: i * i % 70_001, ..segment }).collect();
        way.acked = (0..6_000).map(|i| (i * 1_000, i * i % 90_001)).collect();
        way.left_out = 12_345;
    }
    let page = report_html(&a).unwrap();
    assert!(page.len() < 8 << 20, "{} bytes", page.len());
    for text in [
        "Showing 500 of 4,300 connections",
        "Showing 15 of 20,000 requests with an answer",
        "Showing 100 of 20,000 requests without a whole answer",
        "Showing 100 of 3,000 kinds",
        "Showing 100 of 900 groups",
        "thinned out: 24,690 segments",
        "Showing 100 of 900 pairs",
        "Showing 213 of 306 series",
        "Showing 400 of 20,000 log lines",
        "Showing 60 of 700 series",
        "20,000 of 60,000 stacks",
        "services and",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(latency_svg(&a).unwrap().len() < 3 << 20);
    assert!(flame_svg(&a).unwrap().len() < 4 << 20);
}
