//! Collector, store and decoder for the randomized reports of [`deniable`].

pub mod decode;
pub mod rappor_files;
