//! Every key there is, for documentation.

use std::fmt::Write;

use super::file::File;
use super::read::{FromValue, Key, Keys};
use super::registry::Known;

/// Every table that a file may have, with its keys: first those of the file, then one for each gate, layer of publishers and layer of this crate.
pub fn reference() -> Vec<Section> {
    let mut sections = Vec::new();
    if let Some(file) = File::keys() {
        add(&mut sections, String::new(), file);
    }
    let known = Known::default();
    for (gate, keys) in known.gates.keys() {
        add(&mut sections, format!("gate {gate}"), keys);
    }
    for (layer, keys) in known.publisher_layers.keys() {
        add(&mut sections, format!("publisher {layer}"), keys);
    }
    for (layer, keys) in known.layers.keys() {
        add(&mut sections, format!("layer {layer}"), keys);
    }
    sections
}

/// A table that a file may have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Section {
    /// The keys that lead to it, such as `workers.NAME.limits`; `gate NAME`, `publisher NAME` and `layer NAME` for what a file names.
    pub path: String,
    /// Its keys.
    pub keys: Keys,
}

fn add(sections: &mut Vec<Section>, path: String, keys: Keys) {
    let inner: Vec<_> = keys.keys.iter().filter_map(|key| Some((within(&path, key), key.within.clone()?))).collect();
    sections.push(Section { path, keys });
    for (path, keys) in inner {
        add(sections, path, keys);
    }
}

/// The path of the table or tables that a key stands for.
fn within(path: &str, key: &Key) -> String {
    let dot = if path.is_empty() { "" } else { "." };
    let name = if key.kind.starts_with("table of names") { ".NAME" } else { "" };
    let item = if key.kind.starts_with("list") { "[]" } else { "" };
    format!("{path}{dot}{}{name}{item}", key.name)
}

/// [`reference()`] as tables in Markdown.
pub fn reference_markdown() -> String {
    let mut text = String::new();
    for Section { path, keys } in reference() {
        let title = match path.split_once(' ') {
            Some(("gate", gate)) => format!("### Gate `{gate}`"),
            Some(("publisher", layer)) => format!("### Layer of publishers `{layer}`"),
            Some((_, layer)) => format!("### Layer `{layer}`"),
            None if path.is_empty() => "### The file".to_owned(),
            None => format!("### `{path}`"),
        };
        let _ = write!(text, "{title}\n\n{}\n\n", keys.about);
        if keys.keys.is_empty() {
            text.push_str("It has no options.\n\n");
            continue;
        }
        text.push_str("| key | type | if it is missing | what for |\n|---|---|---|---|\n");
        for key in &keys.keys {
            let default = match key.default {
                None => "**an error**".to_owned(),
                Some(value) if is_value(value) => format!("`{value}`"),
                Some(words) => words.to_owned(),
            };
            let _ = writeln!(text, "| `{}` | {} | {default} | {} |", key.name, key.kind, key.about);
        }
        text.push('\n');
    }
    text
}

/// Whether it could stand in a file.
fn is_value(text: &str) -> bool {
    toml::de::DeValue::parse(text).is_ok()
}
