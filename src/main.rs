//! The `label-router` command.

use std::process::ExitCode;

// The allocator of musl makes decoding four times slower.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    label_router::cli::main()
}
