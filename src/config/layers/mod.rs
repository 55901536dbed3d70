//! Layers by name.
//!
//! A layer is one file here, with its options and a line in [`Layers::default`].

mod retry;
mod timeout;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use swarrot_core::Handler;
use swarrot_core::layer::{BoxHandler, BoxLayer, BoxStack};
use tower_layer::Layer;

use super::read::{FromValue, Keys, Options, Value, hint, shown};

/// Options of a layer, as a worker's `layers` in a file have them.
///
/// ```
/// use std::time::Duration;
/// use swarrot::config::{LayerOptions, Loader, Parts, Refusal, options};
/// use swarrot::layer::Timeout;
///
/// options! {
///     /// At most so many seconds.
///     struct Hurry {
///         /// How many.
///         seconds: u32,
///     }
/// }
///
/// impl LayerOptions for Hurry {
///     const LAYER: &'static str = "hurry";
///
///     fn apply(self, parts: &mut Parts) -> Result<(), Refusal> {
///         if self.seconds == 0 {
///             return Err(Refusal::at("seconds", "at least one second"));
///         }
///         parts.layer(Timeout::new(Duration::from_secs(self.seconds.into())));
///         Ok(())
///     }
/// }
///
/// let text = r#"
///     brokers.main = "memory://"
///     [workers.mails]
///     queue = "mails"
///     layers = [{ layer = "hurry", seconds = 5 }]
/// "#;
/// let config = Loader::new().layer::<Hurry>().parse(text).unwrap();
/// assert_eq!(config.workers().collect::<Vec<_>>(), ["mails"]);
/// ```
pub trait LayerOptions: Options {
    /// The layer's name in the file.
    const LAYER: &'static str;

    /// Adds the layer to a worker.
    ///
    /// # Errors
    /// What is wrong with the options and what to do.
    fn apply(self, parts: &mut Parts) -> Result<(), Refusal>;
}

/// What the layers of a file make of a worker.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    stack: Vec<BoxLayer>,
}

impl Parts {
    /// Wraps the handler in this layer, within those that are there.
    pub fn layer<L>(&mut self, layer: L)
    where
        L: Layer<BoxHandler, Service: Handler> + Send + Sync + 'static,
    {
        self.stack.push(BoxLayer::new(layer));
    }

    pub(super) fn append(&mut self, more: Self) {
        self.stack.extend(more.stack);
    }

    pub(super) fn stack(&self) -> BoxStack {
        self.stack.iter().cloned().collect()
    }
}

/// Why options of a layer were not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    key: Option<&'static str>,
    message: String,
}

impl Refusal {
    /// What is wrong and what to do, in one line without a full stop.
    pub fn new(message: impl Into<String>) -> Self {
        Self { key: None, message: message.into() }
    }

    /// What is wrong with the value of a key.
    pub fn at(key: &'static str, message: impl Into<String>) -> Self {
        Self { key: Some(key), message: message.into() }
    }
}

/// The layers that a file may name.
#[derive(Clone)]
pub(super) struct Layers(BTreeMap<&'static str, Known>);

#[derive(Clone)]
struct Known {
    read: Arc<dyn Fn(&Value<'_>) -> Option<Parts> + Send + Sync>,
    keys: fn() -> Option<Keys>,
}

impl Default for Layers {
    fn default() -> Self {
        let mut layers = Self(BTreeMap::new());
        layers.add::<retry::Retry>();
        layers.add::<timeout::Timeout>();
        layers
    }
}

impl Layers {
    /// Makes a layer known, in the place of another one of that name.
    pub(super) fn add<O: LayerOptions>(&mut self) {
        let read = |value: &Value<'_>| {
            let options = O::from_value(value)?;
            let mut parts = Parts::default();
            match options.apply(&mut parts) {
                Ok(()) => Some(parts),
                Err(refusal) => {
                    value.table()?.refuse_at(refusal.key.unwrap_or("layer"), refusal.message);
                    None
                }
            }
        };
        self.0.insert(O::LAYER, Known { read: Arc::new(read), keys: O::keys });
    }

    /// Each layer's name and keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&'static str, Keys)> {
        self.0.iter().filter_map(|(name, known)| (known.keys)().map(|keys| (*name, keys)))
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A layer of a worker: its name under `layer`, and its options beside it.
#[derive(Clone, Debug)]
pub(super) struct LayerEntry(pub(super) Parts);

impl FromValue for LayerEntry {
    const EXPECTED: &'static str =
        "tables, each with the name of a layer, such as { layer = \"timeout\", limit = \"30s\" }";
    const KIND: &'static str = "list of tables";

    fn from_value(value: &Value<'_>) -> Option<Self> {
        let layers = &value.reading().layers.0;
        let Some(table) = value.as_table() else {
            value.refuse_as(Self::EXPECTED);
            return None;
        };
        let Some(named) = table.entry("layer") else {
            value.refuse(format!("\"layer\" is missing{}", hint("", layers.keys().copied())));
            return None;
        };
        let name = String::from_value(&named)?;
        let Some(known) = layers.get(name.as_str()) else {
            let name_shown = if named.is_plain() { shown(&name) } else { "by that name".to_owned() };
            named.refuse(format!("there is no layer {name_shown}{}", hint(&name, layers.keys().copied())));
            return None;
        };
        (known.read)(&value.clone().without("layer")).map(Self)
    }
}
