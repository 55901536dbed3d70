//! What the compiler says to common mistakes in handlers: it names what is wrong, and says what to do.
//!
//! The texts are those of one version of the compiler. `TRYBUILD=overwrite cargo test -p swarrot-core --all-features --test
//! compile_errors` writes them anew; read them then as somebody would who has made the mistake.

#![cfg(feature = "json")]

#[test]
fn compile_errors() {
    trybuild::TestCases::new().compile_fail("tests/compile_errors/*.rs");
}
