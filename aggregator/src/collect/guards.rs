//! The alarms of a project's open epochs, as figures for Prometheus.

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use deniable::Epoch;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::metrics::whole;
use crate::guard::Alarm;
use crate::store::{Selection, Store, StoreError};
use crate::survey::{Survey, set_aside};

/// How long alarms are told without another look, so that who asks often does not keep the store busy.
const FRESH: Duration = Duration::from_secs(60);

/// Guard, metric, version, epoch and source.
type Place = [(&'static str, String); 5];
/// Metric and version.
type Stream = [(&'static str, String); 2];

/// The figures of the guards.
#[derive(Debug)]
pub(super) struct Guards {
    values: Family<Place, Gauge<f64, AtomicU64>>,
    limits: Family<Place, Gauge<f64, AtomicU64>>,
    alarms: Family<Stream, Gauge>,
    improbable: Family<Stream, Gauge>,
    left_out: Gauge,
    looked: Mutex<Option<Instant>>,
}

impl Guards {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let [values, limits] = [(); 2].map(|()| Family::<Place, Gauge<f64, AtomicU64>>::default());
        let [alarms, improbable] = [(); 2].map(|()| Family::<Stream, Gauge>::default());
        let left_out = Gauge::default();
        registry.register("alarms", "Alarms of the guards in the open epochs", alarms.clone());
        registry.register("alarm_value", "What was measured where a guard alarms", values.clone());
        registry.register("alarm_limit", "The limit that the value is beyond", limits.clone());
        registry.register(
            "improbable_reports",
            "Reports of the open epochs with an improbable number of ones",
            improbable.clone(),
        );
        registry.register("set_aside", "Sources and epochs that figures leave out", left_out.clone());
        Self { values, limits, alarms, improbable, left_out, looked: Mutex::new(None) }
    }

    /// Looks at the epochs that take reports. What is set aside alarms no more.
    pub(super) fn observe(&self, store: &dyn Store, open_from: Epoch) -> Result<(), StoreError> {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.is_some_and(|at| at.elapsed() < FRESH) {
            return Ok(());
        }
        self.values.clear();
        self.limits.clear();
        let left_out = store.left_out()?;
        let selection = Selection::of_epochs(open_from..=Epoch(u32::MAX)).without(left_out);
        for (metric, version) in store.streams()?.into_keys() {
            let survey = Survey::of(store, &metric, version, &selection)?;
            let stream: Stream = [("metric", metric.to_string()), ("version", version.to_string())];
            self.alarms.get_or_create(&stream).set(whole(survey.alarms.len() as u64));
            self.improbable.get_or_create(&stream).set(whole(survey.improbable));
            survey.alarms.iter().for_each(|alarm| self.tell(&stream, alarm));
        }
        self.left_out.set(whole(set_aside(store)?.len() as u64));
        *looked = Some(Instant::now());
        Ok(())
    }

    fn tell(&self, [metric, version]: &Stream, alarm: &Alarm) {
        let place: Place = [
            ("guard", alarm.guard.name().to_owned()),
            metric.clone(),
            version.clone(),
            ("epoch", alarm.epoch.to_string()),
            ("source", alarm.source.clone()),
        ];
        self.values.get_or_create(&place).set(alarm.value);
        self.limits.get_or_create(&place).set(alarm.limit);
    }
}
