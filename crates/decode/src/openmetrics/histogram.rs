//! The rules among the buckets, count and sum of a histogram (OpenMetrics 1.0, "Histogram" and "GaugeHistogram").

use std::sync::Arc;

use super::{OpenMetricsError, Reason};
use crate::prometheus::line::{Label, Number};

/// The points of a histogram family, one after the other: a point is what one metric was at one time.
#[derive(Default)]
pub(super) struct Points {
    at: Option<Point>,
    /// The first point that broke a rule which only whole points show. It is told at the family's end, since a line
    /// before that may break another.
    broken: Option<OpenMetricsError>,
}

struct Point {
    group: Arc<[Label]>,
    time: Option<i128>,
    line: u32,
    bound: Option<Number>,
    held: Option<Number>,
    count: Option<Number>,
    has_sum: bool,
    has_gsum: bool,
    negative_buckets: bool,
    negative_gsum: bool,
}

impl Points {
    /// A sample of the family, in the order of the page; `le` is there for buckets.
    pub(super) fn sample(
        &mut self,
        group: &Arc<[Label]>,
        time: Option<i128>,
        suffix: &str,
        le: Option<Number>,
        value: Number,
        line: u32,
    ) -> Result<(), Reason> {
        if self.at.as_ref().is_none_or(|p| p.group != *group || p.time != time) {
            self.end_point();
            self.at = Some(Point::new(group.clone(), time, line));
        }
        let Some(point) = &mut self.at else { return Ok(()) };
        point.line = line;
        match suffix {
            "_bucket" => return point.bucket(le.ok_or(Reason::Le)?, value),
            "_count" | "_gcount" => point.count = Some(value),
            "_sum" => point.has_sum = true,
            "_gsum" => {
                point.has_gsum = true;
                point.negative_gsum |= value.value < 0.0;
            }
            _ => {}
        }
        Ok(())
    }

    fn end_point(&mut self) {
        let Some(point) = self.at.take() else { return };
        if let (None, Err(reason)) = (&self.broken, point.whole()) {
            self.broken = Some(OpenMetricsError { line: point.line, reason });
        }
    }

    /// The verdict at the end of the family.
    pub(super) fn finish(mut self) -> Result<(), OpenMetricsError> {
        self.end_point();
        self.broken.map_or(Ok(()), Err)
    }
}

impl Point {
    fn new(group: Arc<[Label]>, time: Option<i128>, line: u32) -> Point {
        Point {
            group,
            time,
            line,
            bound: None,
            held: None,
            count: None,
            has_sum: false,
            has_gsum: false,
            negative_buckets: false,
            negative_gsum: false,
        }
    }

    fn bucket(&mut self, le: Number, value: Number) -> Result<(), Reason> {
        self.negative_buckets |= le.value < 0.0;
        if self.bound.is_some_and(|b| le <= b) {
            return Err(Reason::BucketOrder);
        }
        if self.held.is_some_and(|h| value < h) {
            return Err(Reason::BucketShrinks);
        }
        (self.bound, self.held) = (Some(le), Some(value));
        Ok(())
    }

    fn whole(&self) -> Result<(), Reason> {
        if self.bound.is_none_or(|b| b.value != f64::INFINITY) {
            return Err(Reason::NoInfBucket);
        }
        if let (Some(count), Some(held)) = (self.count, self.held)
            && count != held
        {
            return Err(Reason::CountMismatch);
        }
        match (self.has_sum || self.has_gsum, self.count.is_some()) {
            (true, false) => return Err(Reason::SumWithoutCount),
            (false, true) => return Err(Reason::CountWithoutSum),
            _ => {}
        }
        if self.negative_buckets && self.has_sum {
            return Err(Reason::SumOfNegative);
        }
        if !self.negative_buckets && self.negative_gsum {
            return Err(Reason::NegativeSum);
        }
        Ok(())
    }
}
