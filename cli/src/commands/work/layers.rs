//! The flags of layers: each layer that a file may name has its own, made from its options, and one that turns it off.

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use swarrot::config::{Changes, Key, Loader};

use super::retry;

/// Measures this process, and not the commands.
const OF_NO_USE: &str = "peak_memory";
const RETRY: &str = "retry";
const METRICS: &str = "metrics";
const OF_METRICS: &str = "Counts and times deliveries, for the /metrics of --health";
/// Options of a retry for which its own flag stands.
const DELAYS: [&str; 4] = ["fixed", "list", "exponential", "polynomial"];
const HEADING: &str = "Layers, in the place of what the file says of them";

/// What flags say of layers.
#[derive(Clone, Debug)]
pub(crate) struct Layers(pub(super) Changes);

/// The loader of files and of flags, with the layers as they are for commands.
pub(super) fn loader() -> Loader {
    Loader::new().layer::<super::timeout::Timeout>()
}

/// A flag of a layer.
#[derive(Debug)]
struct Flag {
    name: String,
    layer: &'static str,
    what: What,
    help: String,
}

#[derive(Debug)]
enum What {
    /// Adds the layer.
    On,
    /// Leaves it out.
    Off,
    /// Adds it, with this option.
    Option(Key),
    /// Says when to try again.
    Retry,
}

/// All flags: of each layer first the one that adds it, then those of its options.
fn flags() -> Vec<Flag> {
    let mut flags = Vec::new();
    for (layer, keys) in loader().layers() {
        let name = layer.replace('_', "-");
        let off = Flag {
            name: format!("no-{name}"),
            layer,
            what: What::Off,
            help: if layer == RETRY {
                "Parks at once what would be tried again".to_owned()
            } else {
                format!("Leaves the layer {layer} out")
            },
        };
        if layer == OF_NO_USE {
            flags.push(off);
            continue;
        }
        let mut options: Vec<_> = keys.keys.into_iter().filter(|key| !DELAYS.contains(&key.name)).collect();
        let about = if layer == METRICS { OF_METRICS.to_owned() } else { text(&keys.about) };
        match options.as_slice() {
            _ if layer == RETRY => {
                flags.push(Flag { name: name.clone(), layer, what: What::Retry, help: retry::HELP.to_owned() });
            }
            // It is nothing without it.
            [key] if key.default.is_none() => {
                let key = options.remove(0);
                flags.push(Flag { name: name.clone(), layer, what: What::Option(key), help: about });
            }
            _ => flags.push(Flag { name: name.clone(), layer, what: What::On, help: about }),
        }
        flags.extend(options.into_iter().map(|key| {
            let help = match key.default {
                Some(default) if default != "false" => format!("{} [default: {}]", text(&key.about), text(default)),
                _ => text(&key.about),
            };
            Flag { name: format!("{name}-{}", key.name.replace('_', "-")), layer, what: What::Option(key), help }
        }));
        flags.push(off);
    }
    flags
}

/// Documentation as help: without marks and without the last full stop. The handler is the command.
fn text(markdown: &str) -> String {
    let plain = markdown.replace(['`', '"'], "").replace("handler", "command");
    plain.strip_suffix('.').unwrap_or(&plain).to_owned()
}

impl Flag {
    fn arg(self, all: &[(String, &'static str)]) -> Arg {
        let arg = Arg::new(self.name.clone()).long(self.name.clone()).help(self.help).help_heading(HEADING);
        match self.what {
            What::On => arg.action(ArgAction::SetTrue),
            What::Off => {
                let others = all.iter().filter(|(name, layer)| *layer == self.layer && *name != self.name);
                arg.action(ArgAction::SetTrue).hide_short_help(true).conflicts_with_all(others.map(|(name, _)| name))
            }
            What::Retry => arg.value_name("DELAYS").value_parser(retry::parse),
            What::Option(key) => {
                let (arg, is_detail) = (arg.value_name(value_name(&key)), key.default.is_some());
                let arg = arg.hide_short_help(is_detail);
                if key.kind == "true or false" {
                    arg.num_args(0..=1).require_equals(true).default_missing_value("true")
                } else {
                    arg
                }
            }
        }
    }

    /// What it says, if it was given.
    fn add(self, changes: Changes, matches: &ArgMatches) -> Changes {
        let origin = format!("--{}", self.name);
        match self.what {
            What::On if matches.get_flag(&self.name) => changes.layer(origin, self.layer),
            What::Off if matches.get_flag(&self.name) => changes.without_layer(origin, self.layer),
            What::On | What::Off => changes,
            What::Retry => match matches.get_one::<retry::Delays>(&self.name) {
                Some(delays) => delays.add(changes, &origin, self.layer),
                None => changes,
            },
            What::Option(key) => match matches.get_one::<String>(&self.name) {
                Some(value) => changes.option(origin, self.layer, key.name, value),
                None => changes,
            },
        }
    }
}

fn value_name(key: &Key) -> &'static str {
    match key.kind.as_str() {
        "duration" => "TIME",
        "text" => "TEXT",
        "URL" => "URL",
        "true or false" => "BOOL",
        kind if kind.starts_with("whole number") => "NUMBER",
        _ => "VALUE",
    }
}

impl clap::Args for Layers {
    fn augment_args(command: Command) -> Command {
        let all: Vec<_> = flags().into_iter().map(|flag| (flag.name, flag.layer)).collect();
        flags().into_iter().fold(command, |command, flag| command.arg(flag.arg(&all)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Layers {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(flags().into_iter().fold(Changes::new(), |changes, flag| flag.add(changes, matches))))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
