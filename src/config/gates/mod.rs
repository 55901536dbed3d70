//! Gates by name.
//!
//! A gate is one file here, with its options, and a line in the default of [`Gates`].

mod kill_switch;
mod rate_limit;

use std::sync::Arc;

use swarrot_core::gate::Gate;

use super::read::{FromValue, Options, Value, hint, shown};
use super::registry::{Refusal, Registry};

/// Options of a gate, as a file has them under `[gates.NAME]`. It is made known as a layer is: see
/// [`LayerOptions`](super::LayerOptions).
pub trait GateOptions: Options {
    /// The gate's name in the file.
    const GATE: &'static str;

    /// Makes the gate, once; all workers that name it share it.
    ///
    /// # Errors
    /// What is wrong with the options and what to do.
    fn build(self) -> Result<Arc<dyn Gate>, Refusal>;
}

/// Gates that a file may have.
pub(super) type Gates = Registry<Arc<dyn Gate>>;

/// Those of this crate.
impl Default for Gates {
    fn default() -> Self {
        let mut gates = Self::new("gate");
        gates.add_gate::<kill_switch::KillSwitch>();
        gates.add_gate::<rate_limit::RateLimit>();
        gates
    }
}

impl Gates {
    pub(super) fn add_gate<O: GateOptions>(&mut self) {
        self.add(O::GATE, O::build);
    }
}

/// A gate of a file.
#[derive(Clone, Debug)]
pub(super) struct GateEntry(pub(super) Arc<dyn Gate>);

impl FromValue for GateEntry {
    const EXPECTED: &'static str =
        "a table with the kind of the gate, such as { gate = \"rate_limit\", deliveries = 50 }";
    const KIND: &'static str = "table with a `gate` and its options";

    fn from_value(value: &Value<'_>) -> Option<Self> {
        value.reading().known.gates.read(value, Self::EXPECTED).map(Self)
    }
}

/// The name of a gate of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GateName(pub(super) String);

impl FromValue for GateName {
    const EXPECTED: &'static str = "the name of a gate in [gates]";
    const KIND: &'static str = "name of a gate";

    fn from_value(value: &Value<'_>) -> Option<Self> {
        let name = value.parse_text(Self::EXPECTED, |text| Some(text.to_owned()))?;
        let gates = &value.reading().names.gates;
        if gates.contains(&name.as_str()) {
            return Some(Self(name));
        }
        let name_shown = if value.is_plain() { shown(&name) } else { "by that name".to_owned() };
        let hint = if gates.is_empty() { "; add it to [gates]".to_owned() } else { hint(&name, gates.iter().copied()) };
        value.refuse(format!("there is no gate {name_shown}{hint}"));
        None
    }
}
