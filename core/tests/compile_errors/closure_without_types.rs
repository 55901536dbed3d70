use swarrot_core::IntoHandler;

// As `Worker::run`, but for a suggestion whose length is that of this folder's path.
fn run<Args>(_: impl IntoHandler<Args>) {}

fn main() {
    run(async |text| {});
}
