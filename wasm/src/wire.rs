//! What crosses between the package's TypeScript and a module: values one after the other, in an order that the operation fixes.
//!
//! | value | bytes |
//! |---|---|
//! | a number | 8, an `f64` |
//! | a whole number | 4 |
//! | a text | a whole number, and so many bytes of UTF-8 |
//! | bytes | a whole number, and so many bytes |
//! | a list | a whole number, and so many values |
//!
//! All numbers are little-endian. TypeScript has checked what the page gave, so arguments of another form are a broken invariant
//! and end in a trap. An answer begins with a byte that is 0, or the code of a refusal.

use alloc::vec::Vec;

use crate::refusal::Refusal;

const FORM: &str = "TypeScript writes what the operation reads";

/// Arguments that are still to be read.
pub(crate) struct Arguments<'a>(&'a [u8]);

impl<'a> Arguments<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().expect("N bytes were taken")
    }

    pub(crate) fn number(&mut self) -> f64 {
        f64::from_le_bytes(self.array())
    }

    pub(crate) fn whole(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    /// A whole number that counts or places something.
    pub(crate) fn size(&mut self) -> usize {
        self.whole() as usize
    }

    pub(crate) fn bytes(&mut self) -> &'a [u8] {
        let size = self.size();
        self.take(size)
    }

    pub(crate) fn text(&mut self) -> &'a str {
        core::str::from_utf8(self.bytes()).expect(FORM)
    }

    /// Bytes of a fixed number, such as a secret.
    pub(crate) fn key<const N: usize>(&mut self) -> [u8; N] {
        self.bytes().try_into().expect(FORM)
    }

    /// A list whose values `read` reads.
    pub(crate) fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut list = Vec::new();
        for _ in 0..self.size() {
            list.push(read(self));
        }
        list
    }
}

/// An answer that is being written.
pub(crate) struct Answer<'a>(&'a mut Vec<u8>);

impl<'a> Answer<'a> {
    pub(crate) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.clear();
        out.push(0);
        Self(out)
    }

    /// Takes back what was written, and says why there is no answer.
    pub(crate) fn refuse(&mut self, code: Refusal) {
        self.0.clear();
        self.0.push(code as u8);
    }

    pub(crate) fn number(&mut self, number: f64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn whole(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.whole(bytes.len() as u32);
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// A list whose values `write` writes.
    pub(crate) fn list<T>(&mut self, values: impl ExactSizeIterator<Item = T>, write: impl Fn(&mut Self, T)) {
        self.whole(values.len() as u32);
        values.for_each(|value| write(self, value));
    }

    /// A list of one value or of none.
    pub(crate) fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.whole(u32::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// An instant in milliseconds since 1970.
    pub(crate) fn time(&mut self, at: deniable::calendar::Timestamp) {
        self.number(at.as_millis() as f64);
    }
}
