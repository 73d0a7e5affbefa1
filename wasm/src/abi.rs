//! The way in and out of a module.
//!
//! JavaScript asks for room, writes the arguments there and calls; the answer lies where `call` points to, until the next
//! call. There is one thread and no call within a call.

use alloc::vec::Vec;

use atomic_refcell::AtomicRefCell;

use crate::wire::{Answer, Arguments};

/// What the module keeps between calls.
struct Module {
    arguments: Vec<u8>,
    answer: Vec<u8>,
    #[cfg(feature = "encoder")]
    encoder: crate::encoder::Objects,
    #[cfg(feature = "client")]
    client: crate::client::Client,
}

/// The first operation of the client; those below are the encoder's.
#[cfg(feature = "client")]
const CLIENT: u32 = 16;

static MODULE: AtomicRefCell<Module> = AtomicRefCell::new(Module {
    arguments: Vec::new(),
    answer: Vec::new(),
    #[cfg(feature = "encoder")]
    encoder: crate::encoder::Objects::new(),
    #[cfg(feature = "client")]
    client: crate::client::Client::new(),
});

/// Makes room for arguments of `size` bytes, and says where.
#[expect(unsafe_code, reason = "an exported name; nothing else may have it")]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn room(size: usize) -> *mut u8 {
    let arguments = &mut MODULE.borrow_mut().arguments;
    arguments.resize(size, 0);
    arguments.as_mut_ptr()
}

/// Carries out an operation with the arguments in the room, and says where its answer lies.
#[expect(unsafe_code, reason = "an exported name; nothing else may have it")]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn call(operation: u32) -> *const u8 {
    let module = &mut *MODULE.borrow_mut();
    let mut arguments = Arguments::new(&module.arguments);
    let mut answer = Answer::begin(&mut module.answer);
    #[cfg(feature = "client")]
    if let Some(operation) = operation.checked_sub(CLIENT) {
        module.client.call(operation, &mut arguments, &mut answer);
        return module.answer.as_ptr();
    }
    #[cfg(feature = "encoder")]
    module.encoder.call(operation, &mut arguments, &mut answer);
    module.answer.as_ptr()
}

#[cfg(target_family = "wasm")]
mod runtime {
    use core::panic::PanicInfo;

    use talc::cell::TalcSyncCell;
    use talc::wasm::{WasmBinning, WasmGrowAndClaim};

    #[global_allocator]
    static TALC: TalcSyncCell<WasmGrowAndClaim, WasmBinning> = TalcSyncCell::new_wasm(WasmGrowAndClaim);

    /// A broken invariant. It becomes a `WebAssembly.RuntimeError`; words would cost every page a fifth of the download.
    #[panic_handler]
    fn trap(_: &PanicInfo<'_>) -> ! {
        core::arch::wasm32::unreachable()
    }
}
