//! The page: OpenMetrics text, made by `prometheus-client` from the catalogue and the samples. Pure.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, LabelSetEncoder, MetricEncoder};
use prometheus_client::encoding::{EncodeLabel, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::samples::{Page, Sample, Value, samples};
use super::series;
use crate::telemetry::catalogue::{self, Label, Metric, Type};

pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub fn text(page: Page) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(catalogue::PREFIX);
    registry.register_collector(Box::new(Exposition(Arc::new(page))));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Exposition(Arc<Page>);

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let budget = series::budget(&self.0);
        for metric in Metric::ALL.iter().filter(|metric| !budget.withheld.contains(metric)) {
            let family = Family { metric: *metric, samples: samples(*metric, &self.0, &budget) };
            if family.samples.is_empty() {
                continue;
            }
            let unit = metric.unit().map(|unit| match unit {
                "bytes" => Unit::Bytes,
                "celsius" => Unit::Celsius,
                _ => Unit::Seconds,
            });
            let encoder =
                encoder.encode_descriptor(metric.stem(), metric.help(), unit.as_ref(), family.metric_type())?;
            family.encode(encoder)?;
        }
        Ok(())
    }
}

struct Family<'a> {
    metric: Metric,
    samples: Vec<Sample<'a>>,
}

impl EncodeMetric for Family<'_> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for Sample { labels, value } in &self.samples {
            let labels = Labels { names: self.metric.labels(), values: labels };
            if *value == Value::Info {
                encoder.encode_info(&labels)?;
                continue;
            }
            if labels.values.is_empty() {
                encode(&mut encoder, self.metric.kind(), value)?;
            } else {
                encode(&mut encoder.encode_family(&labels)?, self.metric.kind(), value)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        match self.metric.kind() {
            Type::Counter => MetricType::Counter,
            Type::Gauge => MetricType::Gauge,
            Type::Histogram(_) => MetricType::Histogram,
            Type::Info => MetricType::Info,
        }
    }
}

fn encode(encoder: &mut MetricEncoder<'_>, kind: Type, value: &Value<'_>) -> fmt::Result {
    match (value, kind) {
        (Value::Count(count), _) => encoder.encode_counter::<NoLabelSet, u64, u64>(count, None),
        (Value::Number(number), Type::Counter) => encoder.encode_counter::<NoLabelSet, f64, u64>(number, None),
        (Value::Number(number), Type::Gauge | Type::Histogram(_) | Type::Info) => encoder.encode_gauge(number),
        (Value::Histogram(histogram), _) => {
            encoder.encode_histogram::<NoLabelSet>(histogram.sum(), histogram.count(), &histogram.buckets(), None)
        }
        (Value::Info, _) => Ok(()),
    }
}

#[derive(Debug)]
struct Labels<'a> {
    names: &'static [Label],
    values: &'a [Cow<'a, str>],
}

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (label, value) in self.names.iter().zip(self.values) {
            (label.name, value.as_ref()).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "exposition_tests.rs"]
mod tests;
