//! What the collectors saw last, ready to be scraped.
//!
//! A scrape only formats: it never touches /proc. Each pass replaces the series of its metrics, so
//! a device that has gone takes its series along.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, ensure};
use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric as Sample, MetricFamily, MetricType};

use super::metric::{Kind, Metric};

/// The value of a label. Cheap to clone: one interface name stands in sixteen series.
pub type Label = Arc<str>;

/// One value, and the values of its metric's labels in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// One for each of [`Metric::labels`].
    pub labels: Box<[Label]>,
    /// The counter's or gauge's value.
    pub value: f64,
}

/// Every exported metric family, shared by the monitors that fill it and the page that prints it.
#[derive(Clone, Debug, Default)]
pub struct Store(Arc<Mutex<Families>>);

#[derive(Debug, Default)]
struct Families {
    by_name: BTreeMap<String, Family>,
    /// Whether the registry knows of the store.
    registered: bool,
}

#[derive(Debug)]
struct Family {
    metric: &'static Metric,
    series: Vec<Series>,
}

impl Store {
    /// Reserves `name` for `metric`. Two config files may export the same metric under one name.
    pub fn declare(&self, name: &str, metric: &'static Metric) -> anyhow::Result<()> {
        let mut families = self.lock();
        if let Some(family) = families.by_name.get(name) {
            let id = family.metric.id;
            ensure!(
                id == metric.id,
                "{name} is the exported name of {id} already"
            );
            return Ok(());
        }
        families.by_name.insert(
            name.to_owned(),
            Family {
                metric,
                series: Vec::new(),
            },
        );
        Ok(())
    }

    /// Puts `series` in the place of what `name` had.
    pub fn replace(&self, name: &str, series: Vec<Series>) {
        if let Some(family) = self.lock().by_name.get_mut(name) {
            family.series = series;
        }
    }

    /// Puts what is declared on the page of `registry`, once.
    pub fn register(&self, registry: &Registry) -> anyhow::Result<()> {
        let mut families = self.lock();
        if families.registered || families.by_name.is_empty() {
            return Ok(());
        }
        let describe = |(name, family): (&String, &Family)| description(name, family.metric);
        let descriptions = families
            .by_name
            .iter()
            .map(describe)
            .collect::<anyhow::Result<Vec<_>>>()?;
        let page = Page {
            store: self.clone(),
            descriptions,
        };
        registry
            .register(Box::new(page))
            .context("registering the system stats")?;
        families.registered = true;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Families> {
        // A panic while it was held left whole families behind: use them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn description(name: &str, metric: &Metric) -> anyhow::Result<Desc> {
    let labels = metric
        .labels
        .iter()
        .map(|label| (*label).to_owned())
        .collect();
    Desc::new(
        name.to_owned(),
        metric.help.to_owned(),
        labels,
        HashMap::new(),
    )
    .with_context(|| format!("describing the metric {name}"))
}

/// The store as the registry wants it.
struct Page {
    store: Store,
    descriptions: Vec<Desc>,
}

impl Collector for Page {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let families = self.store.lock();
        let with_series = families
            .by_name
            .iter()
            .filter(|(_, family)| !family.series.is_empty());
        with_series
            .map(|(name, family)| family.print(name))
            .collect()
    }
}

impl Family {
    fn print(&self, name: &str) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(self.metric.help.to_owned());
        family.set_field_type(match self.metric.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
        });
        family.set_metric(
            self.series
                .iter()
                .map(|series| self.sample(series))
                .collect(),
        );
        family
    }

    fn sample(&self, series: &Series) -> Sample {
        let pair = |(name, value): (&&str, &Label)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(value.to_string());
            pair
        };
        let pairs = self
            .metric
            .labels
            .iter()
            .zip(&series.labels)
            .map(pair)
            .collect();
        let mut sample = Sample::from_label(pairs);
        match self.metric.kind {
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(series.value);
                sample.set_counter(counter);
            }
            Kind::Gauge => {
                let mut gauge = Gauge::default();
                gauge.set_value(series.value);
                sample.set_gauge(gauge);
            }
        }
        sample
    }
}
