//! The client for native programs.

mod clock;
mod disk;
mod folder;
mod http;

pub use self::folder::{FolderError, StorageFault};
pub use self::http::{EndpointError, NetworkFault};
