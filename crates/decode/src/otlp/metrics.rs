//! ExportMetricsServiceRequest to metric points.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar as RawExemplar, Metric, NumberDataPoint, exemplar, metric, number_data_point,
};
use prost::Message;

use super::value::time;
use super::{Attributes, OtlpError, Resource, SpanId, TraceId, exponential};

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the names are OTLP's
pub enum MetricKind {
    Gauge,
    Sum,
    Histogram,
    ExponentialHistogram,
    Summary,
}

impl MetricKind {
    /// The name in snake case.
    pub const fn name(self) -> &'static str {
        match self {
            MetricKind::Gauge => "gauge",
            MetricKind::Sum => "sum",
            MetricKind::Histogram => "histogram",
            MetricKind::ExponentialHistogram => "exponential_histogram",
            MetricKind::Summary => "summary",
        }
    }
}

/// The value of a point.
#[derive(Debug, Clone, PartialEq)]
pub enum PointValue {
    /// A number.
    Number(f64),
    /// A distribution.
    Histogram {
        /// How many values.
        count: u64,
        /// Their sum, where it was told.
        sum: Option<f64>,
        /// Upper bounds of all buckets but the last, ascending.
        bounds: Vec<f64>,
        /// Values in each bucket: one more than `bounds`, or none.
        counts: Vec<u64>,
    },
    /// Quantiles.
    Summary {
        /// How many values.
        count: u64,
        /// Their sum.
        sum: f64,
        /// Quantile (0 to 1) and value.
        quantiles: Vec<(f64, f64)>,
    },
}

/// One measurement that went into a point, told with where it was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// When, by the sender's clock; `None` when it was not told.
    pub time: Option<i64>,
    /// What was measured; `None` when it was not told.
    pub value: Option<f64>,
    /// The trace it was measured in, if any.
    pub trace: Option<TraceId>,
    /// The span it was measured in, if any.
    pub span: Option<SpanId>,
    /// Attributes of the measurement that the point does not have.
    pub attributes: Attributes,
}

/// A metric point.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricPoint {
    /// Number of the point in its request, from 0.
    pub index: u32,
    /// Name of the metric.
    pub name: Arc<str>,
    /// Its unit in UCUM, as told.
    pub unit: Arc<str>,
    /// What it is.
    pub kind: MetricKind,
    /// For sums: whether it only grows.
    pub monotonic: bool,
    /// For sums and histograms: whether values count since `start` of the process rather than since the last point.
    pub cumulative: bool,
    /// Start of what it counts, by the sender's clock.
    pub start: Option<i64>,
    /// When, by the sender's clock; `None` when it was not told.
    pub time: Option<i64>,
    /// Its value; `None` when the sender marked it as not recorded.
    pub value: Option<PointValue>,
    /// The smallest value in a histogram, where it was told.
    pub min: Option<f64>,
    /// The largest, likewise.
    pub max: Option<f64>,
    /// Measurements that were told one by one.
    pub exemplars: Vec<Exemplar>,
    /// Its attributes.
    pub attributes: Attributes,
    /// Who sent it.
    pub resource: Arc<Resource>,
}

/// The points of a request, in order.
pub fn metrics(request: &[u8]) -> Result<Vec<MetricPoint>, OtlpError> {
    let raw =
        ExportMetricsServiceRequest::decode(request).map_err(|e| OtlpError { what: "metrics", why: e.to_string() })?;
    Ok(rows(raw))
}

pub(super) fn rows(raw: ExportMetricsServiceRequest) -> Vec<MetricPoint> {
    let mut out = Vec::new();
    for part in raw.resource_metrics {
        let resource = Arc::new(Resource::of(part.resource));
        for m in part.scope_metrics.into_iter().flat_map(|s| s.metrics) {
            points(m, &resource, &mut out);
        }
    }
    out
}

/// Bit 0 of a point's flags: no recorded value.
const NO_VALUE: u32 = 1;
/// AGGREGATION_TEMPORALITY_CUMULATIVE.
const CUMULATIVE: i32 = 2;

fn points(m: Metric, resource: &Arc<Resource>, out: &mut Vec<MetricPoint>) {
    let (name, unit): (Arc<str>, Arc<str>) = (m.name.into(), m.unit.into());
    let base = |kind, monotonic, cumulative| MetricPoint {
        index: 0,
        name: name.clone(),
        unit: unit.clone(),
        kind,
        monotonic,
        cumulative,
        start: None,
        time: None,
        value: None,
        min: None,
        max: None,
        exemplars: Vec::new(),
        attributes: Attributes::default(),
        resource: resource.clone(),
    };
    let mut add = |mut p: MetricPoint, times: (u64, u64), flags: u32, value: PointValue, attributes: Attributes| {
        p.index = out.len() as u32;
        p.start = time(times.0);
        p.time = time(times.1);
        p.value = (flags & NO_VALUE == 0).then_some(value);
        p.attributes = attributes;
        out.push(p);
    };
    let number = |p: &NumberDataPoint| match p.value {
        Some(number_data_point::Value::AsDouble(x)) => x,
        Some(number_data_point::Value::AsInt(i)) => i as f64,
        None => f64::NAN,
    };
    match m.data {
        Some(metric::Data::Gauge(g)) => {
            for p in g.data_points {
                let (times, value) = ((p.start_time_unix_nano, p.time_unix_nano), PointValue::Number(number(&p)));
                let shape = MetricPoint { exemplars: exemplars(p.exemplars), ..base(MetricKind::Gauge, false, false) };
                add(shape, times, p.flags, value, Attributes::of(p.attributes));
            }
        }
        Some(metric::Data::Sum(s)) => {
            let shape = base(MetricKind::Sum, s.is_monotonic, s.aggregation_temporality == CUMULATIVE);
            for p in s.data_points {
                let (times, value) = ((p.start_time_unix_nano, p.time_unix_nano), PointValue::Number(number(&p)));
                let shape = MetricPoint { exemplars: exemplars(p.exemplars), ..shape.clone() };
                add(shape, times, p.flags, value, Attributes::of(p.attributes));
            }
        }
        Some(metric::Data::Histogram(h)) => {
            let shape = base(MetricKind::Histogram, false, h.aggregation_temporality == CUMULATIVE);
            for p in h.data_points {
                let value = PointValue::Histogram {
                    count: p.count,
                    sum: p.sum,
                    bounds: p.explicit_bounds,
                    counts: p.bucket_counts,
                };
                let times = (p.start_time_unix_nano, p.time_unix_nano);
                let exemplars = exemplars(p.exemplars);
                let shape = MetricPoint { exemplars, min: p.min, max: p.max, ..shape.clone() };
                add(shape, times, p.flags, value, Attributes::of(p.attributes));
            }
        }
        Some(metric::Data::ExponentialHistogram(h)) => {
            let shape = base(MetricKind::ExponentialHistogram, false, h.aggregation_temporality == CUMULATIVE);
            for p in h.data_points {
                let times = (p.start_time_unix_nano, p.time_unix_nano);
                let (flags, value) = (p.flags, exponential::plain(&p));
                let exemplars = exemplars(p.exemplars);
                let shape = MetricPoint { exemplars, min: p.min, max: p.max, ..shape.clone() };
                add(shape, times, flags, value, Attributes::of(p.attributes));
            }
        }
        Some(metric::Data::Summary(s)) => {
            for p in s.data_points {
                let value = PointValue::Summary {
                    count: p.count,
                    sum: p.sum,
                    quantiles: p.quantile_values.iter().map(|q| (q.quantile, q.value)).collect(),
                };
                let times = (p.start_time_unix_nano, p.time_unix_nano);
                add(base(MetricKind::Summary, false, true), times, p.flags, value, Attributes::of(p.attributes));
            }
        }
        None => {}
    }
}

fn exemplars(raw: Vec<RawExemplar>) -> Vec<Exemplar> {
    let one = |e: RawExemplar| Exemplar {
        time: time(e.time_unix_nano),
        value: e.value.map(|v| match v {
            exemplar::Value::AsDouble(x) => x,
            exemplar::Value::AsInt(i) => i as f64,
        }),
        trace: TraceId::from_bytes(&e.trace_id),
        span: SpanId::from_bytes(&e.span_id),
        attributes: Attributes::of(e.filtered_attributes),
    };
    raw.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics, Sum};

    #[test]
    fn a_sum_keeps_its_shape_and_values() {
        let request = ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                scope_metrics: vec![ScopeMetrics {
                    metrics: vec![Metric {
                        name: "requests".into(),
                        unit: "1".into(),
                        data: Some(metric::Data::Sum(Sum {
                            data_points: vec![NumberDataPoint {
                                time_unix_nano: 5,
                                value: Some(number_data_point::Value::AsInt(7)),
                                ..NumberDataPoint::default()
                            }],
                            aggregation_temporality: CUMULATIVE,
                            is_monotonic: true,
                        })),
                        ..Metric::default()
                    }],
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            }],
        };
        let points = metrics(&request.encode_to_vec()).unwrap();
        assert_eq!(points[0].value, Some(PointValue::Number(7.0)));
        assert_eq!((points[0].time, points[0].monotonic, points[0].cumulative), (Some(5), true, true));
    }
}
