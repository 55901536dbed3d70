//! All of the help as one page: `docs/cli.md`.

use std::fmt::Write as _;

use clap::Command;

/// As wide as the help is printed there, whatever the terminal.
const WIDTH: usize = 110;

/// All of the help as one page.
pub(super) fn page(root: Command) -> String {
    let mut page = String::from(
        "# The command `swarrot`\n\n<!-- Made by `swarrot man --markdown`; a test of swarrot-cli fails where it is out of date. -->\n",
    );
    let mut root = root.term_width(WIDTH);
    root.build();
    section(&mut page, &mut root);
    page
}

fn section(page: &mut String, command: &mut Command) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    // Writing into a string does not fail.
    let _ = write!(page, "\n## {name}\n\n```text\n{}\n```\n", lines.join("\n").trim_end());
    for sub in command.get_subcommands_mut() {
        section(page, sub);
    }
}
