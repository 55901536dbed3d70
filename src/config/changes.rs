//! What is told of a worker beside its file, such as on a command line.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue};

use super::layers;

/// What is told of a worker beside its file, such as on a command line: it goes before what the file says.
///
/// Changes are made in the order in which they are told. Each has an origin, such as the name of a flag, by which mistakes in
/// it are told.
///
/// ```
/// use swarrot::config::{Changes, Loader};
///
/// let text = r#"
///     brokers.main = "memory://"
///     [workers.mails]
///     queue = "mails"
///     layers = [{ layer = "retry", fixed = "30s" }, { layer = "timeout", limit = "1m" }]
/// "#;
/// let changes = Changes::new()
///     .option("--retry-attempts", "retry", "attempts", "10")
///     .without_layer("--no-timeout", "timeout");
/// Loader::new().change("mails", changes).parse(text)?;
///
/// let changes = Changes::new().option("--timeout", "timeout", "limit", "soon");
/// let error = Loader::new().change("mails", changes).parse(text).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "--timeout must be a duration such as \"30s\", \"5m\" or \"1h 30m\", not \"soon\"",
/// );
/// # Ok::<(), swarrot::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Changes(Vec<Change>);

#[derive(Clone, Debug)]
struct Change {
    origin: String,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Without(String),
    Layer(String),
    LayerAnew(String),
    WithoutLayer(String),
    Option { layer: String, path: String, value: OptionValue },
}

/// The value of an option that is told beside a file. A number, `true` and `false` are told as text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionValue {
    /// One value, without variables.
    Text(String),
    /// A list of them.
    List(Vec<String>),
}

impl<T: Into<String>> From<T> for OptionValue {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}

impl Changes {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves out what the file says under a key of the worker, such as `max_messages`.
    pub fn without(self, origin: impl Into<String>, key: impl Into<String>) -> Self {
        self.with(origin, What::Without(key.into()))
    }

    /// Adds a layer, in the place where it belongs, unless the worker has it.
    pub fn layer(self, origin: impl Into<String>, layer: impl Into<String>) -> Self {
        self.with(origin, What::Layer(layer.into()))
    }

    /// As [`layer`](Self::layer), and leaves out all that the file says of it. Its first place stays.
    pub fn layer_anew(self, origin: impl Into<String>, layer: impl Into<String>) -> Self {
        self.with(origin, What::LayerAnew(layer.into()))
    }

    /// Leaves a layer out, wherever the worker has it.
    pub fn without_layer(self, origin: impl Into<String>, layer: impl Into<String>) -> Self {
        self.with(origin, What::WithoutLayer(layer.into()))
    }

    /// Sets an option of a layer, wherever the worker has it, and adds the layer if it does not. The path is a key, or several
    /// with dots between them, such as `exponential.first`.
    pub fn option(
        self,
        origin: impl Into<String>,
        layer: impl Into<String>,
        path: impl Into<String>,
        value: impl Into<OptionValue>,
    ) -> Self {
        self.with(origin, What::Option { layer: layer.into(), path: path.into(), value: value.into() })
    }

    fn with(mut self, origin: impl Into<String>, what: What) -> Self {
        self.0.push(Change { origin: origin.into(), what });
        self
    }

    /// Where each is from.
    pub(super) fn origins(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|change| change.origin.as_str())
    }

    /// Makes them to a worker of a file that was parsed. `place` says where to show mistakes of the change of an index.
    pub(super) fn apply(&self, root: &mut DeTable<'_>, worker: &str, place: impl Fn(usize) -> Range<usize>) {
        let Some(worker) = table(root, "workers").and_then(|workers| table(workers, worker)) else { return };
        for (index, change) in self.0.iter().enumerate() {
            let at = place(index);
            match &change.what {
                What::Without(key) => drop(worker.remove(key.as_str())),
                what => change_layers(worker, &at, |layers| what.apply(layers, &at)),
            }
        }
    }
}

impl What {
    fn apply(&self, layers: &mut Vec<Item<'_>>, at: &Range<usize>) {
        match self {
            Self::Without(_) => {}
            Self::Layer(layer) => add(layers, layer, at),
            Self::WithoutLayer(layer) => layers.retain(|item| name(item) != Some(layer)),
            Self::LayerAnew(layer) => {
                let mut is_first = true;
                layers.retain(|item| name(item) != Some(layer) || std::mem::take(&mut is_first));
                add(layers, layer, at);
                for options in named(layers, layer) {
                    let tag = options.remove_entry(TAG);
                    *options = tag.into_iter().collect();
                }
            }
            Self::Option { layer, path, value } => {
                add(layers, layer, at);
                for options in named(layers, layer) {
                    set(options, path, value, at);
                }
            }
        }
    }
}

type Item<'a> = Spanned<DeValue<'a>>;

/// The key that names a layer.
const TAG: &str = "layer";

fn table<'t, 'a>(within: &'t mut DeTable<'a>, key: &str) -> Option<&'t mut DeTable<'a>> {
    match within.get_mut(key)?.get_mut() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

/// Changes the layers of a worker; what is no list is left for the reader to refuse.
fn change_layers<'a>(worker: &mut DeTable<'a>, at: &Range<usize>, change: impl FnOnce(&mut Vec<Item<'a>>)) {
    const KEY: &str = "layers";
    if !worker.contains_key(KEY) {
        worker.insert(key(KEY, at), Spanned::new(at.clone(), DeValue::Array(DeArray::new())));
    }
    if let Some(DeValue::Array(array)) = worker.get_mut(KEY).map(Spanned::get_mut) {
        let mut layers = std::mem::replace(array, DeArray::new()).into_iter().collect();
        change(&mut layers);
        *array = layers.into_iter().collect();
    }
}

/// Adds a layer unless it is there: just within the last one that belongs outside of it, or else outside of all that belong
/// within.
fn add(layers: &mut Vec<Item<'_>>, layer: &str, at: &Range<usize>) {
    if layers.iter().any(|item| name(item) == Some(layer)) {
        return;
    }
    let rank = |name: &str| layers::ORDER.iter().position(|known| *known == name);
    let ours = rank(layer);
    let is = |order: Ordering| {
        move |item: &Item<'_>| name(item).and_then(rank).zip(ours).map(|(a, b)| a.cmp(&b)) == Some(order)
    };
    let place = match layers.iter().rposition(is(Ordering::Less)) {
        Some(outer) => outer + 1,
        None => layers.iter().position(is(Ordering::Greater)).unwrap_or(layers.len()),
    };
    let options = DeTable::from_iter([(key(TAG, at), Spanned::new(at.clone(), text(layer)))]);
    layers.insert(place, Spanned::new(at.clone(), DeValue::Table(options)));
}

fn name<'t>(item: &'t Item<'_>) -> Option<&'t str> {
    item.get_ref().get(TAG)?.get_ref().as_str()
}

fn named<'t, 'a>(layers: &'t mut [Item<'a>], layer: &str) -> impl Iterator<Item = &'t mut DeTable<'a>> {
    layers.iter_mut().filter(move |item| name(item) == Some(layer)).filter_map(|item| match item.get_mut() {
        DeValue::Table(options) => Some(options),
        _ => None,
    })
}

fn set(options: &mut DeTable<'_>, path: &str, value: &OptionValue, at: &Range<usize>) {
    let Some((first, rest)) = path.split_once('.') else {
        let value = match value {
            OptionValue::Text(value) => text(value),
            OptionValue::List(values) => {
                DeValue::Array(values.iter().map(|value| Spanned::new(at.clone(), text(value))).collect())
            }
        };
        // A key keeps its place when its value changes, and mistakes of a table are shown at the key.
        options.remove(path);
        options.insert(key(path, at), Spanned::new(at.clone(), value));
        return;
    };
    if table(options, first).is_none() {
        options.remove(first);
        options.insert(key(first, at), Spanned::new(at.clone(), DeValue::Table(DeTable::new())));
    }
    if let Some(inner) = table(options, first) {
        set(inner, rest, value, at);
    }
}

fn key<'a>(name: &str, at: &Range<usize>) -> Spanned<DeString<'a>> {
    Spanned::new(at.clone(), Cow::Owned(name.to_owned()))
}

/// A text that is what it is: it has no variables.
fn text<'a>(text: &str) -> DeValue<'a> {
    DeValue::String(Cow::Owned(text.replace('$', "$$")))
}
