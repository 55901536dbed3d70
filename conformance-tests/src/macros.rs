//! One line that makes a test target of harnesses.

/// Makes the `main` of a test target (with `harness = false`) that runs every case on each of these harnesses.
///
/// The arguments of the standard test harness work: a filter, `--ignored`, `--test-threads`, `--list`, …
#[macro_export]
macro_rules! conformance_tests {
    ($($harness:expr),+ $(,)?) => {
        fn main() -> ::std::process::ExitCode {
            $crate::run(&[$(::std::sync::Arc::new($harness) as ::std::sync::Arc<dyn $crate::Harness>),+])
        }
    };
}
