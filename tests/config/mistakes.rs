//! Every kind of mistake, with the line that tells of it.

use swarrot::config::Loader;

#[test]
fn try_them() {
    for text in std::fs::read_to_string("/tmp/config-scratch/cases").unwrap().split("=====\n") {
        let loader = Loader::new().variables(|name| (name == "SECRET").then(|| "hunter2".to_owned()));
        println!("{text}");
        match loader.parse(text) {
            Ok(c) => println!("  OK {c:?}"),
            Err(e) => println!("  >>> {e}\n"),
        }
    }
}
