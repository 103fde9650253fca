//! Gauges of what comes and goes: a series goes with what it is about, so that there are never more than there are things.

use prometheus::{Gauge, GaugeVec};

/// Gauges of one name, told apart by `N` labels.
#[derive(Clone, Debug)]
pub struct Gauges<const N: usize>(pub(crate) GaugeVec);

/// One of them. It is shown until this is dropped.
#[derive(Debug)]
pub struct ShownGauge<const N: usize> {
    family: GaugeVec,
    values: [String; N],
    gauge: Gauge,
}

impl<const N: usize> Gauges<N> {
    /// The gauge with these values of the labels, in their order. There is to be one at a time of the same values: it goes with
    /// the first that is dropped.
    pub fn show(&self, values: [&str; N]) -> ShownGauge<N> {
        let (family, gauge) = (self.0.clone(), self.0.with_label_values(&values));
        ShownGauge { family, values: values.map(str::to_owned), gauge }
    }
}

impl<const N: usize> ShownGauge<N> {
    /// Sets it.
    pub fn set(&self, value: f64) {
        self.gauge.set(value);
    }
}

impl<const N: usize> Drop for ShownGauge<N> {
    fn drop(&mut self) {
        let values: Vec<&str> = self.values.iter().map(String::as_str).collect();
        // That it isn't there is what is wanted.
        let _ = self.family.remove_label_values(&values);
    }
}
