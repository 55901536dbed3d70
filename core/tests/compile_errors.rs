//! What the compiler says to common mistakes in handlers: it names what is wrong, and says what to do.
//!
//! The texts are those of one version of the compiler, and are compared with that one alone. `TRYBUILD=overwrite cargo test -p
//! swarrot-core --all-features --test compile_errors` writes them anew; read them then as somebody would who has made
//! the mistake.

#![cfg(feature = "json")]

use std::process::Command;

/// The compiler whose texts are kept.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn compile_errors() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().expect("the compiler that has just been used");
    let version = String::from_utf8_lossy(&version.stdout);
    if version.starts_with(COMPILER) {
        trybuild::TestCases::new().compile_fail("tests/compile_errors/*.rs");
    } else {
        println!("not compared: this is {}, the texts are those of {COMPILER}x", version.trim());
    }
}
