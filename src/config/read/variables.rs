//! Environment variables in values.

use std::env::VarError;
use std::fmt;
use std::sync::Arc;

/// Where the values of variables come from.
#[derive(Clone, Default)]
pub(in crate::config) enum Variables {
    /// The process's environment.
    #[default]
    Process,
    /// These instead.
    Given(Arc<Lookup>),
}

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Variables {
    /// Puts values in the place of `${NAME}` and `${NAME:-default}`, and a dollar in the place of `$$`. The default counts
    /// where a variable is not set or empty, as in a shell.
    ///
    /// # Errors
    /// What is wrong with it and what to do.
    pub(super) fn expand(&self, text: &str) -> Result<Text, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut has_variable = false;
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            expanded.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                expanded.push('$');
                rest = after;
                continue;
            }
            let Some((inside, after)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
                return Err("a '$' that begins no ${NAME}; write $$ for a dollar".to_owned());
            };
            has_variable = true;
            expanded.push_str(&self.value(inside)?);
            rest = after;
        }
        expanded.push_str(rest);
        Ok(Text { text: expanded, has_variable })
    }

    fn value(&self, inside: &str) -> Result<String, String> {
        let (name, default) = match inside.split_once(":-") {
            None => (inside, None),
            Some((name, default)) => (name, Some(default)),
        };
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            return Err("the name of a variable is of letters, digits and '_', as in ${NAME} or ${NAME:-default}; \
                 write $$ for a dollar"
                .to_owned());
        }
        if default.is_some_and(|default| default.contains('$')) {
            return Err(format!("the default of ${{{name}}} holds another variable; write it out"));
        }
        match (self.look_up(name)?, default) {
            (None, None) => {
                Err(format!("the environment variable {name} is not set; set it, or write ${{{name}:-default}}"))
            }
            (Some(value), None) => Ok(value),
            (Some(value), Some(_)) if !value.is_empty() => Ok(value),
            (_, Some(default)) => Ok(default.to_owned()),
        }
    }

    fn look_up(&self, name: &str) -> Result<Option<String>, String> {
        match self {
            Self::Given(lookup) => Ok(lookup(name)),
            Self::Process => match std::env::var(name) {
                Ok(value) => Ok(Some(value)),
                Err(VarError::NotPresent) => Ok(None),
                Err(VarError::NotUnicode(_)) => {
                    Err(format!("the environment variable {name} is not UTF-8 text; set it to one that is"))
                }
            },
        }
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Variables")
    }
}

/// A text with its variables replaced.
pub(super) struct Text {
    pub(super) text: String,
    /// Then it may hold what nobody should see.
    pub(super) has_variable: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Result<String, String> {
        let variables = Variables::Given(Arc::new(|name| match name {
            "USER" => Some("ada".to_owned()),
            "EMPTY" => Some(String::new()),
            "INJECTION" => Some("\"\n[brokers]\n${USER}$".to_owned()),
            _ => None,
        }));
        variables.expand(text).map(|text| text.text)
    }

    #[test]
    fn values_take_the_place_of_names() {
        for (text, expected) in [
            ("plain", "plain"),
            ("", ""),
            ("${USER}", "ada"),
            ("a-${USER}-${USER}-b", "a-ada-ada-b"),
            ("${USER:-eve}", "ada"),
            ("${NOBODY:-eve}", "eve"),
            ("${NOBODY:-}", ""),
            ("${EMPTY}", ""),
            ("${EMPTY:-eve}", "eve"),
            ("$${USER}", "${USER}"),
            ("$$$$ $$${USER}", "$$ $ada"),
            ("${NOBODY:-a:-b{}", "a:-b{"),
            // What a value holds is a value.
            ("${INJECTION}", "\"\n[brokers]\n${USER}$"),
        ] {
            assert_eq!(expand(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, part) in [
            ("${NOBODY}", "variable NOBODY is not set"),
            ("5 $", "write $$ for a dollar"),
            ("$USER", "write $$ for a dollar"),
            ("${USER", "write $$ for a dollar"),
            ("${}", "the name of a variable"),
            ("${A-B}", "the name of a variable"),
            ("${1}", "the name of a variable"),
            ("${A:-${USER}}", "holds another variable"),
        ] {
            let error = expand(text).expect_err(text);
            assert!(error.contains(part), "{error}");
        }
    }
}
