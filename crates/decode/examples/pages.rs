//! Reads exposition pages for the tests that compare with other people's readers (`tests/interop/prometheus_pages.py`).
//! Each line of stdin is a JSON object with `page` and `strict`; each line of stdout is what was read of it.
#![allow(clippy::print_stdout)]

use std::io::BufRead;

use coldcase_decode::prometheus::{Exemplar, Sample};
use coldcase_decode::{openmetrics, prometheus};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for line in std::io::stdin().lock().lines() {
        let asked: Value = serde_json::from_str(&line?)?;
        let page = asked["page"].as_str().unwrap_or_default().as_bytes();
        println!("{}", if asked["strict"] == true { strict(page) } else { lenient(page) });
    }
    Ok(())
}

fn strict(page: &[u8]) -> Value {
    match openmetrics::parse(page) {
        Err(e) => json!({"error": e.to_string()}),
        Ok(families) => families
            .iter()
            .map(|f| {
                json!({
                    "name": f.name, "type": f.kind.name(), "unit": f.unit, "help": f.help,
                    "samples": f.samples.iter().map(sample).collect::<Value>(),
                })
            })
            .collect(),
    }
}

fn lenient(page: &[u8]) -> Value {
    let page = prometheus::parse(page, "text/plain; version=0.0.4");
    json!({"samples": page.samples.iter().map(sample).collect::<Value>(), "errors": page.errors.len()})
}

fn sample(s: &Sample) -> Value {
    // As text: JSON has no infinities.
    let value = format!("{:?}", s.value);
    json!([*s.name, labels(&s.labels), value, s.time, s.exemplar.as_ref().map(exemplar), *s.kind])
}

fn exemplar(e: &Exemplar) -> Value {
    json!([labels(&e.labels), format!("{:?}", e.value), e.time])
}

fn labels(labels: &[(String, String)]) -> Value {
    labels.iter().map(|(k, v)| json!([k, v])).collect()
}
