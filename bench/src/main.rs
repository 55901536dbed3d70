//! Compares swarrot with the raw clients; `cargo xtask bench` builds and runs it.

use std::process::ExitCode;

fn main() -> ExitCode {
    swarrot_bench::main()
}
