//! Help, manual pages and completions.

use std::fs;
use std::path::Path;

use crate::support::run;

/// `UPDATE_DOCS=1 cargo test -p swarrot-cli --test cli manual` writes it.
#[test]
fn the_page_of_the_help_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    let page = run(&["man", "--markdown"]).expect_code(0).out;
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(file.parent().expect("a folder")).expect("makes the folder");
        fs::write(&file, &page).expect("writes the page");
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(there == page, "docs/cli.md is out of date; write it with UPDATE_DOCS=1");
}

#[test]
fn completions_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]).expect_code(0).out;
        assert!(script.contains("swarrot") && script.contains("publish"), "{shell}");
    }
    run(&["completions", "tcsh"]).expect_line(2, &["tcsh"]);
}

#[test]
fn manual_pages() {
    let page = run(&["man"]).expect_code(0).out;
    assert!(page.contains(".TH swarrot 1") && page.contains("Exit codes"), "{page}");
    let folder = tempfile::tempdir().expect("a folder");
    run(&["man", folder.path().to_str().expect("text")]).expect_code(0);
    let names: Vec<_> = fs::read_dir(folder.path())
        .expect("the folder")
        .map(|entry| entry.expect("a file").file_name().into_string().expect("text"))
        .collect();
    for expected in ["swarrot.1", "swarrot-publish.1", "swarrot-dead-retry.1"] {
        assert!(names.iter().any(|name| name == expected), "{expected}: {names:?}");
    }
}

#[test]
fn exit_codes_are_in_the_help() {
    let help = run(&["--help"]).expect_code(0).out;
    for code in 0..=5 {
        assert!(help.contains(&format!("\n  {code}  ")), "{code}: {help}");
    }
    run(&["--version"]).expect_code(0);
    run(&["publish", "-h"]).expect_code(0);
}
