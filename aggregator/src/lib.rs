//! Collector, store and decoder for the randomized reports of [`deniable`].

#![forbid(unsafe_code)]

pub mod amplify;
pub mod audit;
pub mod catalog;
pub mod collect;
pub mod decode;
pub mod events;
pub mod generate;
pub mod guard;
pub mod lake;
pub mod map_file;
pub mod rappor_files;
pub mod simulate;
pub mod store;
pub mod survey;
