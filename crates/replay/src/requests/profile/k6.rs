//! A load profile as a script of k6 (<https://grafana.com/docs/k6/>).
//!
//! Arrivals are an open model: the executor `ramping-arrival-rate`, whose time unit is the width of a bucket, so that a
//! stage's target is the count of a bucket and its rate holds for all of it. Between buckets the rate jumps, by a stage
//! without duration.

use super::{Operation, Profile};

/// What the script does, behind its data.
const BODY: &str = include_str!("load.js");

/// The script. `bundle` is the id that each request carries.
pub fn script(profile: &Profile, bundle: &str) -> String {
    let milliseconds = profile.arrivals.bucket / 1_000_000;
    let mut stages = Vec::new();
    for &count in &profile.arrivals.counts {
        stages.push(serde_json::json!({"target": count, "duration": "0s"}));
        stages.push(serde_json::json!({"target": count, "duration": format!("{milliseconds}ms")}));
    }
    let busy = profile.concurrency.map_or(1, |c| c.max).max(1);
    let scenario = serde_json::json!({
        "executor": "ramping-arrival-rate",
        "startRate": profile.arrivals.counts.first().copied().unwrap_or(0),
        "timeUnit": format!("{milliseconds}ms"),
        "stages": stages,
        "preAllocatedVUs": busy,
        "maxVUs": busy.saturating_mul(4).max(50),
    });
    let reuse = profile.connections.is_none_or(|c| c.keep_alive);
    let options = serde_json::json!({
        "scenarios": {"recorded": scenario},
        "noConnectionReuse": !reuse,
        "discardResponseBodies": true,
    });
    let operations: Vec<serde_json::Value> = profile.operations.iter().map(operation).collect();
    let mut out = String::from(
        "// A load as it was recorded, made by `coldcase replay --load-profile`. Run: k6 run -e TARGET=http://127.0.0.1:8080 load.js\n",
    );
    if profile.shape_only {
        out.push_str(
            "// THE SHAPE ONLY: what was asked is not in the recording. All requests are METHOD (GET) of PATH_ASKED (/).\n",
        );
    }
    out.push_str("import http from 'k6/http';\nimport exec from 'k6/execution';\n\n");
    out.push_str(&format!("export const options = {};\n\n", literal(&options)));
    out.push_str(&format!("const BUNDLE = {};\n", literal(&serde_json::json!(bundle))));
    out.push_str(&format!("const OPERATIONS = {};\n\n", literal(&serde_json::Value::Array(operations))));
    out.push_str(BODY);
    out
}

fn operation(o: &Operation) -> serde_json::Value {
    // Where no path is known the route stands in, with its variable parts as they are written. What does not begin with a
    // slash would go on where the target's host ends, and lead elsewhere.
    let known = o.paths.iter().map(|p| (p.path.as_str(), p.requests));
    let route = o.route.iter().filter(|_| o.paths.is_empty()).map(|route| (route.as_str(), 1));
    let paths: Vec<(&str, u64)> = known.chain(route).filter(|(path, _)| path.starts_with('/')).collect();
    serde_json::json!({
        "name": o.name,
        "method": o.method,
        "requests": o.requests,
        "paths": paths,
        "bodies": o.body_bytes,
    })
}

/// A value as a literal of JavaScript. JSON is one, but for what would end a line in older engines (U+2028, U+2029) or a
/// script in a page.
fn literal(value: &serde_json::Value) -> String {
    let json = serde_json::to_string_pretty(value).unwrap_or_else(|_| "null".to_owned());
    json.chars()
        .map(|c| match c {
            '<' => "\\u003c".to_owned(),
            '\u{2028}' | '\u{2029}' | '\u{feff}' => format!("\\u{:04x}", c as u32),
            c if coldcase_model::text::is_hidden(c) && c != '\n' => {
                let mut units = [0; 2];
                c.encode_utf16(&mut units).iter().map(|u| format!("\\u{u:04x}")).collect()
            }
            c => c.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_paths_stay_inside_their_strings() {
        let hostile = "/'\"`;${alert(1)}//*/</script>\n\u{2028}\\\u{1b}[31m\u{202e}\0";
        let text = literal(&serde_json::json!(hostile));
        assert!(text.bytes().all(|b| (0x20..0x7f).contains(&b)), "{text}");
        assert!(!text.contains('<') && text.starts_with('"') && text.ends_with('"'));
        assert_eq!(serde_json::from_str::<String>(&text).ok().as_deref(), Some(hostile));
        let inside = &text[1..text.len() - 1];
        let bare = inside.match_indices('"').filter(|(at, _)| !inside[..*at].ends_with('\\')).count();
        assert_eq!(bare, 0, "{text}");
    }

    #[test]
    fn no_path_leads_to_another_host() {
        let mut o = Operation {
            name: String::new(),
            method: None,
            route: Some("@evil.example/".to_owned()),
            requests: 1,
            weight: 1.0,
            paths: Vec::new(),
            other_paths: 1,
            request_bytes: None,
            response_bytes: None,
            body_bytes: Vec::new(),
            latency: None,
            errors: 0,
        };
        assert_eq!(operation(&o)["paths"], serde_json::json!([]));
        o.route = Some("/a/{n}".to_owned());
        assert_eq!(operation(&o)["paths"], serde_json::json!([["/a/{n}", 1]]));
        o.paths =
            [".evil.example", "/b"].map(|p| crate::requests::profile::AskedPath { path: p.into(), requests: 2 }).into();
        assert_eq!(operation(&o)["paths"], serde_json::json!([["/b", 2]]));
    }
}
