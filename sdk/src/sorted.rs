//! Sorted lists in place of trees and sorts, of which a page would download several times as much.

use alloc::string::String;
use alloc::vec::Vec;

use crate::binary::{Binary, Reader, Writer};

/// A map as a list of keys that ascend, each with its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sorted<K, V>(Vec<(K, V)>);

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V> Sorted<K, V> {
    fn place(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(key))
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.place(key).ok().map(|place| &self.0[place].1)
    }

    /// The value of a key, which is put in if there is none.
    pub(crate) fn get_or_insert(&mut self, key: K, value: impl FnOnce() -> V) -> &mut V {
        let place = self.place(&key).unwrap_or_else(|place| {
            self.0.insert(place, (key, value()));
            place
        });
        &mut self.0[place].1
    }

    /// Takes out the first value whose key is meant.
    pub(crate) fn remove_if(&mut self, is_meant: impl Fn(&K) -> bool) -> Option<V> {
        let place = self.0.iter().position(|(key, _)| is_meant(key))?;
        Some(self.0.remove(place).1)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.0.iter()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }
}

impl<K: Binary + Ord, V: Binary> Binary for Sorted<K, V> {
    fn write(&self, to: &mut Writer<'_>) {
        self.0.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        let entries: Vec<(K, V)> = Binary::read(from);
        if !entries.is_sorted_by(|a, b| a.0 < b.0) {
            from.fail();
        }
        Self(entries)
    }
}

/// The places of the first 65,535 names in the order of the names; of equal ones the later first.
pub(crate) fn by_name(names: &[String]) -> Vec<u16> {
    let mut sorted: Vec<u16> = Vec::with_capacity(names.len());
    for (place, name) in (0..u16::MAX).zip(names) {
        let before = sorted.partition_point(|other| names[usize::from(*other)] < *name);
        sorted.insert(before, place);
    }
    sorted
}
