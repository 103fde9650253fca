use std::collections::BTreeMap;

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// A metric with all its label values.
#[derive(Debug)]
pub(crate) struct Family {
    name: &'static str,
    help: &'static str,
    metrics: Vec<Metric>,
}

/// Pairs of a name and a value.
pub(crate) type Labels<'a> = [(&'a str, &'a str)];

impl Family {
    pub(crate) const fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, help, metrics: Vec::new() }
    }

    pub(crate) fn counter(&mut self, labels: &Labels<'_>, count: u64) {
        let mut counter = Counter::default();
        counter.set_value(count as f64);
        self.add(labels, |metric| metric.set_counter(counter));
    }

    pub(crate) fn gauge(&mut self, labels: &Labels<'_>, value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        self.add(labels, |metric| metric.set_gauge(gauge));
    }

    /// Of times: by upper bound in milliseconds, not cumulative, and their sum in microseconds.
    pub(crate) fn histogram(&mut self, labels: &Labels<'_>, latency: &BTreeMap<u64, u64>, sum_us: u64) {
        let mut histogram = Histogram::default();
        let mut cumulative = 0;
        let mut buckets = Vec::new();
        for (bound, count) in latency {
            cumulative += count;
            // The encoder adds the one without a bound.
            if *bound != u64::MAX {
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(*bound as f64 / 1_000.0);
                bucket.set_cumulative_count(cumulative);
                buckets.push(bucket);
            }
        }
        histogram.set_bucket(buckets);
        histogram.set_sample_count(cumulative);
        histogram.set_sample_sum(sum_us as f64 / 1_000_000.0);
        self.add(labels, |metric| metric.set_histogram(histogram));
    }

    fn add(&mut self, labels: &Labels<'_>, set: impl FnOnce(&mut Metric)) {
        let pair = |(name, value): &(&str, &str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        };
        let mut metric = Metric::default();
        metric.set_label(labels.iter().map(pair).collect());
        set(&mut metric);
        self.metrics.push(metric);
    }

    pub(crate) fn of(self, kind: MetricType) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(format!("cutover_proxy_{}", self.name));
        family.set_help(self.help.to_owned());
        family.set_field_type(kind);
        family.set_metric(self.metrics);
        family
    }
}
