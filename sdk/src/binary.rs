//! The binary form of catalogs and stored states: that of [postcard](https://postcard.jamesmunns.com/wire-format), for the types
//! that they hold.
//!
//! | value | bytes |
//! |---|---|
//! | an unsigned integer | 7 bits a byte, the lowest first; the top bit says that more follow |
//! | a signed integer | the same, with the sign as the lowest bit |
//! | a flag | 1: 0 or 1 |
//! | `f64` | 8, little-endian |
//! | a text, bytes, a list | the number of bytes or values, then these |
//! | an array of bytes | so many bytes |
//! | an option | 0, or 1 and the value |
//! | one of several kinds | the number of the kind, then its fields |
//!
//! Every page downloads this, and the readers that a derive makes are five times as large: they may fail at each field, and
//! then drop those before it. A [`Reader`] that fails goes on instead, with zeros and nothing, up to the end. So a value that is
//! checked while it is read may be unsound in a reader that has failed, and [`read`] alone hands values out: whole ones.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use zeroize::Zeroizing;

/// What a list reserves before its values are read, whatever it says of their number.
const MAX_RESERVED_BYTES: usize = 1 << 20;

/// A value with a binary form.
pub(crate) trait Binary: Sized {
    /// Appends it.
    fn write(&self, to: &mut Writer<'_>);

    /// Takes one off the front.
    fn read(from: &mut Reader<'_>) -> Self;
}

/// Reads a value that takes up all of the bytes. None if they are no such value.
pub(crate) fn read<T: Binary>(bytes: &[u8]) -> Option<T> {
    let mut from = Reader { rest: bytes, failed: false };
    let value = T::read(&mut from);
    (!from.failed && from.rest.is_empty()).then_some(value)
}

/// The bytes that `write` writes.
pub(crate) fn size(write: impl FnOnce(&mut Writer<'_>)) -> usize {
    let mut writer = Writer { out: None, size: 0 };
    write(&mut writer);
    writer.size
}

/// Where values are written to, or measured.
pub(crate) struct Writer<'a> {
    out: Option<&'a mut Vec<u8>>,
    size: usize,
}

impl<'a> Writer<'a> {
    /// Appends to bytes.
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out: Some(out), size: 0 }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.size += bytes.len();
        if let Some(out) = &mut self.out {
            out.extend_from_slice(bytes);
        }
    }

    pub(crate) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes(&[number as u8 | 0x80]);
            number >>= 7;
        }
        self.bytes(&[number as u8]);
    }

    fn signed(&mut self, number: i64) {
        self.number((number << 1 ^ number >> 63) as u64);
    }

    pub(crate) fn counted(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes(bytes);
    }

    pub(crate) fn list<'v, T: Binary + 'v>(&mut self, values: impl ExactSizeIterator<Item = &'v T>) {
        self.number(values.len() as u64);
        for value in values {
            value.write(self);
        }
    }
}

/// Bytes that are still to be read.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    failed: bool,
}

impl<'a> Reader<'a> {
    /// Says that these bytes are no value.
    pub(crate) fn fail(&mut self) {
        self.failed = true;
        self.rest = &[];
    }

    /// The value, or nothing and a failure in its place.
    pub(crate) fn or_fail<T>(&mut self, value: Option<T>, nothing: T) -> T {
        value.unwrap_or_else(|| {
            self.fail();
            nothing
        })
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let taken = self.rest.split_off(..count);
        self.or_fail(taken, &[])
    }

    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or_default()
    }

    pub(crate) fn number(&mut self) -> u64 {
        let mut number = 0;
        for place in 0..10 {
            let byte = self.byte();
            number |= u64::from(byte & 0x7F) << (7 * place);
            if byte < 0x80 {
                // The tenth byte has the last bit alone.
                if place == 9 && byte > 1 {
                    self.fail();
                }
                return number;
            }
        }
        self.fail();
        0
    }

    /// A number up to a limit.
    pub(crate) fn up_to(&mut self, limit: u64) -> u64 {
        let number = self.number();
        self.or_fail((number <= limit).then_some(number), 0)
    }

    fn signed(&mut self) -> i64 {
        let number = self.number();
        (number >> 1) as i64 ^ -((number & 1) as i64)
    }

    /// The number of values that follow, each of which takes a byte at least.
    pub(crate) fn count(&mut self) -> usize {
        self.up_to(self.rest.len() as u64) as usize
    }

    /// Reads so many values, unless one fails.
    pub(crate) fn times(&mut self, count: usize, read: &mut dyn FnMut(&mut Self)) {
        for _ in 0..count {
            if self.failed {
                break;
            }
            read(self);
        }
    }

    pub(crate) fn counted(&mut self) -> &'a [u8] {
        let count = self.count();
        self.bytes(count)
    }

    pub(crate) fn text(&mut self) -> &'a str {
        let text = core::str::from_utf8(self.counted()).ok();
        self.or_fail(text, "")
    }
}

/// Integers with a varying number of bytes.
macro_rules! integers {
    ($($unsigned:ty),*; $($signed:ty),*) => {
        $(impl Binary for $unsigned {
            fn write(&self, to: &mut Writer<'_>) {
                to.number(*self as u64);
            }

            fn read(from: &mut Reader<'_>) -> Self {
                from.up_to(Self::MAX as u64) as Self
            }
        })*
        $(impl Binary for $signed {
            fn write(&self, to: &mut Writer<'_>) {
                to.signed((*self).into());
            }

            fn read(from: &mut Reader<'_>) -> Self {
                let number = from.signed();
                from.or_fail(number.try_into().ok(), 0)
            }
        })*
    };
}

integers!(u16, u32, u64, usize; i16, i32, i64);

impl Binary for bool {
    fn write(&self, to: &mut Writer<'_>) {
        to.bytes(&[u8::from(*self)]);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        let byte = from.byte();
        from.or_fail((byte < 2).then_some(byte == 1), false)
    }
}

impl Binary for f64 {
    fn write(&self, to: &mut Writer<'_>) {
        to.bytes(&self.to_le_bytes());
    }

    fn read(from: &mut Reader<'_>) -> Self {
        Self::from_le_bytes(Binary::read(from))
    }
}

impl<const N: usize> Binary for [u8; N] {
    fn write(&self, to: &mut Writer<'_>) {
        to.bytes(self);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        from.bytes(N).try_into().unwrap_or([0; N])
    }
}

impl Binary for String {
    fn write(&self, to: &mut Writer<'_>) {
        to.counted(self.as_bytes());
    }

    fn read(from: &mut Reader<'_>) -> Self {
        from.text().into()
    }
}

impl<T: Binary> Binary for Option<T> {
    fn write(&self, to: &mut Writer<'_>) {
        self.is_some().write(to);
        if let Some(value) = self {
            value.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Self {
        bool::read(from).then(|| T::read(from))
    }
}

impl<T: Binary> Binary for Vec<T> {
    fn write(&self, to: &mut Writer<'_>) {
        to.list(self.iter());
    }

    fn read(from: &mut Reader<'_>) -> Self {
        let count = from.count();
        // Room for all, so that no part of a state is left behind in memory.
        let mut values = Self::with_capacity(count.min(MAX_RESERVED_BYTES / size_of::<T>()));
        from.times(count, &mut |from| values.push(T::read(from)));
        values
    }
}

impl Binary for Vec<u8> {
    fn write(&self, to: &mut Writer<'_>) {
        to.counted(self);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        from.counted().into()
    }
}

impl Binary for Zeroizing<Vec<u8>> {
    fn write(&self, to: &mut Writer<'_>) {
        to.counted(self);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        Self::new(Binary::read(from))
    }
}

impl<T: Binary> Binary for VecDeque<T> {
    fn write(&self, to: &mut Writer<'_>) {
        to.list(self.iter());
    }

    fn read(from: &mut Reader<'_>) -> Self {
        Vec::read(from).into()
    }
}

impl<T: Binary> Binary for Box<[T]> {
    fn write(&self, to: &mut Writer<'_>) {
        to.list(self.iter());
    }

    fn read(from: &mut Reader<'_>) -> Self {
        Vec::read(from).into()
    }
}

impl<A: Binary, B: Binary> Binary for (A, B) {
    fn write(&self, to: &mut Writer<'_>) {
        self.0.write(to);
        self.1.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        (A::read(from), B::read(from))
    }
}

/// Gives a type its binary form: a struct the fields in the order told, and those after a `;` their value; one of several kinds
/// the numbers told, of which the first also stands for a number that there is not.
macro_rules! binary {
    (struct $type:ty { $($field:tt),+ $(; $absent:ident: $value:expr)* }) => {
        impl $crate::binary::Binary for $type {
            fn write(&self, to: &mut $crate::binary::Writer<'_>) {
                $(self.$field.write(to);)+
            }

            fn read(from: &mut $crate::binary::Reader<'_>) -> Self {
                Self { $($field: $crate::binary::Binary::read(from),)+ $($absent: $value,)* }
            }
        }
    };
    (enum $type:ty {
        0 $first:ident $(($($first_part:ident),+))? $({ $($first_field:ident),+ })?
        $(, $number:literal $kind:ident $(($($part:ident),+))? $({ $($field:ident),+ })?)* $(,)?
    }) => {
        impl $crate::binary::Binary for $type {
            fn write(&self, to: &mut $crate::binary::Writer<'_>) {
                match self {
                    Self::$first $(($($first_part),+))? $({ $($first_field),+ })? => {
                        to.number(0);
                        $($($first_part.write(to);)+)? $($($first_field.write(to);)+)?
                    }
                    $(Self::$kind $(($($part),+))? $({ $($field),+ })? => {
                        to.number($number);
                        $($($part.write(to);)+)? $($($field.write(to);)+)?
                    })*
                }
            }

            fn read(from: &mut $crate::binary::Reader<'_>) -> Self {
                match from.number() {
                    $($number => {
                        $($(let $part = $crate::binary::Binary::read(from);)+)?
                        $($(let $field = $crate::binary::Binary::read(from);)+)?
                        Self::$kind $(($($part),+))? $({ $($field),+ })?
                    })*
                    number => {
                        if number > 0 {
                            from.fail();
                        }
                        $($(let $first_part = $crate::binary::Binary::read(from);)+)?
                        $($(let $first_field = $crate::binary::Binary::read(from);)+)?
                        Self::$first $(($($first_part),+))? $({ $($first_field),+ })?
                    }
                }
            }
        }
    };
}

pub(crate) use binary;

#[cfg(test)]
mod tests {
    use core::fmt::Debug;
    use std::vec;

    use super::*;

    #[derive(Debug, PartialEq, serde::Serialize)]
    enum Shape {
        Point,
        Circle(f64),
        Box { width: u16, height: Option<bool> },
    }

    binary!(enum Shape { 0 Point, 1 Circle(radius), 2 Box { width, height } });

    #[derive(Debug, PartialEq, serde::Serialize)]
    struct All {
        shapes: Vec<Shape>,
        signed: (i16, (i32, i64)),
        unsigned: (u16, (u32, u64)),
        place: usize,
        text: String,
        name: [u8; 4],
        flags: Box<[bool]>,
        bytes: Option<Vec<u8>>,
    }

    binary!(struct All { shapes, signed, unsigned, place, text, name, flags, bytes });

    fn written(value: &impl Binary) -> Vec<u8> {
        let mut bytes = Vec::new();
        value.write(&mut Writer::new(&mut bytes));
        assert_eq!(size(|to| value.write(to)), bytes.len());
        bytes
    }

    fn all(low: bool) -> All {
        All {
            shapes: vec![Shape::Point, Shape::Circle(-0.5), Shape::Box { width: 300, height: Some(true) }],
            signed: if low { (i16::MIN, (i32::MIN, i64::MIN)) } else { (i16::MAX, (i32::MAX, i64::MAX)) },
            unsigned: if low { (0, (0, 0)) } else { (u16::MAX, (u32::MAX, u64::MAX)) },
            place: 128,
            text: "größer".into(),
            name: *b"name",
            flags: vec![true, false].into(),
            bytes: (!low).then(|| vec![0, 255]),
        }
    }

    #[test]
    fn the_form_is_that_of_postcard_and_is_read_as_it_was_written() {
        for value in [all(true), all(false)] {
            let bytes = written(&value);
            assert_eq!(bytes, postcard::to_allocvec(&value).unwrap());
            assert_eq!(read(&bytes), Some(value));
        }
    }

    /// That nothing shorter, longer or out of range is read.
    #[test]
    fn what_is_not_whole_is_nothing() {
        let bytes = written(&all(false));
        for end in 0..bytes.len() {
            assert_eq!(read::<All>(&bytes[..end]), None, "{end}");
        }
        assert_eq!(read::<All>(&[&bytes[..], &[0]].concat()), None);
        fn refused<T: Binary + Debug + PartialEq>(bytes: &[u8]) {
            assert_eq!(read::<T>(bytes), None, "{bytes:?}");
        }
        refused::<bool>(&[2]);
        refused::<Option<bool>>(&[2, 0]);
        refused::<Shape>(&[3]);
        refused::<u16>(&[0x80, 0x80, 0x04]);
        refused::<i16>(&[0x80, 0x80, 0x04]);
        refused::<u64>(&[0xFF; 11]);
        refused::<u64>(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2]);
        refused::<String>(&[1, 0xFF]);
        // More values than there are bytes take no memory.
        refused::<Vec<[u8; 4096]>>(&[0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0]);
    }
}
