//! What is to be scraped now: the targets that were named, those that files list, and every address of names.

use std::net::IpAddr;

use super::config::MetricsConfig;
use super::fetch::Address;
use super::file_sd;

/// One target.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    pub(super) url: String,
    /// Seconds from one scrape to the next.
    pub(super) interval: f64,
    /// What discovery says of it.
    pub(super) labels: Vec<(String, String)>,
    /// The one of its addresses that it is.
    pub(super) connect: Option<IpAddr>,
}

impl Target {
    /// What tells it from others.
    pub(super) fn key(&self) -> String {
        format!("{} {} {:?} {:?}", self.url, self.interval, self.labels, self.connect)
    }

    /// Its labels in the exposition format, without braces.
    pub(super) fn label_text(&self) -> String {
        let quoted = |v: &str| v.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels = self.labels.iter().map(|(k, v)| format!("{k}=\"{}\"", quoted(v)));
        labels.collect::<Vec<_>>().join(",")
    }
}

/// The targets of this moment, each once; and what is wrong with their lists.
pub(super) async fn now(config: &MetricsConfig) -> (Vec<Target>, Vec<String>) {
    let (mut out, mut faults) = (Vec::new(), Vec::new());
    for named in &config.targets {
        let target = Target { url: named.url.clone(), interval: named.interval, labels: Vec::new(), connect: None };
        if !named.every_address {
            out.push(target);
            continue;
        }
        let addresses = match Address::parse(&named.url) {
            Ok(address) => address.resolve().await.map_err(|e| e.to_string()),
            Err(why) => Err(why),
        };
        match addresses {
            Ok(all) => out.extend(all.iter().map(|a| Target { connect: Some(a.ip()), ..target.clone() })),
            Err(why) => faults.push(format!("{}: {why}", named.url)),
        }
    }
    for pattern in &config.files {
        let (listed, wrong) = file_sd::read(pattern);
        for target in listed {
            match Address::parse(&target.url) {
                Ok(_) => out.push(target),
                Err(why) => faults.push(why),
            }
        }
        faults.extend(wrong);
    }
    let mut seen = std::collections::HashSet::new();
    out.retain(|t| seen.insert(t.key()));
    (out, faults)
}
