//! From a file to a configuration.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::changes::Changes;
use super::config::Config;
use super::error::{ConfigError, Problem};
use super::file::File;
use super::gates::GateOptions;
use super::layers::{LayerOptions, ORDER};
use super::publisher_layers::PublisherLayerOptions;
use super::read::{Format, FromValue, Keys, Names, Reading, Source, Value, Variables};
use super::registry::Known;

/// Reads configurations, with layers and variables of your own.
#[derive(Clone, Debug, Default)]
pub struct Loader {
    known: Known,
    variables: Variables,
    /// By the names of workers.
    changes: Vec<(String, Changes)>,
}

impl Loader {
    /// The layers and gates of this crate, and the variables of the process.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a layer of yours known, by its [name](LayerOptions::LAYER); it takes the place of another one of that name.
    pub fn layer<O: LayerOptions>(mut self) -> Self {
        self.known.layers.add_layer::<O>();
        self
    }

    /// Makes a layer of publishers of yours known, by its [name](PublisherLayerOptions::LAYER); it takes the place of another one of
    /// that name.
    pub fn publisher_layer<O: PublisherLayerOptions>(mut self) -> Self {
        self.known.publisher_layers.add_publisher_layer::<O>();
        self
    }

    /// Makes a gate of yours known, by its [name](GateOptions::GATE); it takes the place of another one of that name.
    pub fn gate<O: GateOptions>(mut self) -> Self {
        self.known.gates.add_gate::<O>();
        self
    }

    /// Takes the values of variables from here, instead of from the process's environment. `None` is one that is not set.
    pub fn variables(mut self, look_up: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.variables = Variables::Given(Arc::new(look_up));
        self
    }

    /// Lets these changes go before what the file says of the worker of this name. No mistake if there is none of that name.
    pub fn change(mut self, worker: impl Into<String>, changes: Changes) -> Self {
        self.changes.push((worker.into(), changes));
        self
    }

    /// Each layer that is known, and its keys: those of this crate in the order in which they belong, from the outside in.
    pub fn layers(&self) -> Vec<(&'static str, Keys)> {
        let mut layers: Vec<_> = self.known.layers.keys().collect();
        layers.sort_by_key(|(name, _)| ORDER.iter().position(|known| known == name).unwrap_or(usize::MAX));
        layers
    }

    /// Reads a file: YAML where its name ends in `.yaml` or `.yml` (feature `yaml`), otherwise TOML.
    ///
    /// # Errors
    /// If it cannot be read; otherwise all mistakes in it, each with its line and column.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Config, ConfigError> {
        let path = path.as_ref();
        let unreadable = |what: String| ConfigError::new(vec![Problem::of_file(path, what)]);
        let bytes = fs::read(path).map_err(|e| unreadable(format!("cannot be read: {e}")))?;
        let text = String::from_utf8(bytes).map_err(|_| unreadable("not UTF-8 text; save it as such".to_owned()))?;
        self.read(Source::new(Some(path.to_owned()), Format::of(path), &text)).0
    }

    /// Reads a text in TOML.
    ///
    /// # Errors
    /// All mistakes in it, each with its line and column.
    pub fn parse(&self, text: impl AsRef<str>) -> Result<Config, ConfigError> {
        self.read(Source::new(None, Format::Toml, text.as_ref())).0
    }

    /// Reads a text in YAML: tables and lists, numbers and texts mean what they would in TOML, and a key without a value is
    /// an empty table.
    ///
    /// ```
    /// let text = "
    /// brokers:
    ///   main: ${BROKER_URL:-memory://}
    /// topology:
    ///   main:
    ///     queues:
    ///       mails:
    /// workers:
    ///   mails:
    ///     queue: mails
    ///     layers:
    ///       - { layer: timeout, limit: 1m }
    /// ";
    /// let config = swarrot::config::Loader::new().parse_yaml(text)?;
    /// assert_eq!(config.queues("mails"), Some(vec!["mails"]));
    /// # Ok::<(), swarrot::config::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// All mistakes in it, each with its line and column; of YAML itself the first one.
    #[cfg(feature = "yaml")]
    pub fn parse_yaml(&self, text: impl AsRef<str>) -> Result<Config, ConfigError> {
        self.read(Source::new(None, Format::Yaml, text.as_ref())).0
    }

    /// The keys that are there too, each as `Options.key` by the name of its options in the code.
    #[doc(hidden)]
    pub fn keys_in(&self, text: impl AsRef<str>) -> BTreeSet<String> {
        self.read(Source::new(None, Format::Toml, text.as_ref())).1
    }

    fn read(&self, source: Source) -> (Result<Config, ConfigError>, BTreeSet<String>) {
        let origins = self.changes.iter().flat_map(|(_, changes)| changes.origins().map(str::to_owned));
        let source = &source.with_origins(origins.collect());
        let mut reading = Reading::new(source, &self.variables, &self.known);
        let Some(root) = reading.parse() else {
            let (problems, seen) = reading.finish();
            return (Err(ConfigError::new(problems)), seen);
        };
        let root = DeValue::Table(self.changed(root.into_inner(), source));
        reading.names = Names::of(&root);
        let file = File::from_value(&Value::root(&reading, &root));
        let (problems, seen) = reading.finish();
        let config = match file {
            Some(file) if problems.is_empty() => Ok(Config::new(file)),
            _ => Err(ConfigError::new(problems)),
        };
        (config, seen)
    }

    /// What was parsed, with the changes.
    fn changed<'a>(&self, mut root: DeTable<'a>, source: &Source) -> DeTable<'a> {
        let mut first = 0;
        for (worker, changes) in &self.changes {
            changes.apply(&mut root, worker, |index| source.beside(first + index));
            first += changes.origins().count();
        }
        root
    }
}
