//! `cargo xtask pictures`: what the command prints, as pictures for the README.

mod scene;
mod svg;
mod terminal;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use self::scene::Scene;
use self::terminal::Terminal;
use crate::steps::{say, step};
use crate::{install, interrupt, workspace};

const FOLDER: &str = "docs/pictures";

/// Draws all pictures anew, from what the program prints on a private Redis.
///
/// # Errors
/// If the program does not do what it should.
pub(crate) fn run() -> Result<()> {
    interrupt::handle()?;
    install::brokers()?;
    step("build the command", &mut workspace::cargo(&["build", "-q", "-p", "swarrot-cli"])?)?;
    let folder = workspace::root()?.join(FOLDER);
    fs::create_dir_all(&folder).context("cannot make the folder of pictures")?;

    let scene = Scene::set()?;
    let list = Terminal::run(&scene.program, &scene.env(), &["dead", "list", "mails"], (10, 164))?;
    write(&folder, "dead-list", &svg::draw("swarrot dead list mails", &list.end()?))?;
    let _busy = scene.be_busy()?;
    let mut top = Terminal::run(&scene.program, &scene.env(), &scene.top(), (16, 132))?;
    let screen = top.screen_after(scene::LONG_ENOUGH)?;
    top.press("q")?;
    write(&folder, "top", &svg::draw("swarrot top", &screen))
}

fn write(folder: &Path, name: &str, picture: &str) -> Result<()> {
    let file = folder.join(format!("{name}.svg"));
    fs::write(&file, picture).with_context(|| format!("cannot write {}", file.display()))?;
    say(format_args!("pictures: wrote {FOLDER}/{name}.svg"));
    Ok(())
}
