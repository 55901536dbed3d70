//! The topology of a file.

use std::path::PathBuf;
use std::sync::Arc;

use swarrot::Broker;
use swarrot::config::Config;
use swarrot::topology::Topology;

use crate::failure::{Failure, Result};
use crate::session::Session;

/// Which topology is meant.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// The file: TOML, or YAML if its name ends in .yaml or .yml
    #[arg(default_value = "swarrot.toml")]
    file: PathBuf,
    /// The broker in it whose topology is meant, where it has several
    #[arg(long, value_name = "NAME")]
    broker: Option<String>,
}

/// A file with the broker that is meant.
pub(super) struct Loaded {
    config: Config,
    broker: String,
}

impl Source {
    /// # Errors
    /// If the file is wrong, or does not say which broker.
    pub(super) fn load(&self) -> Result<Loaded> {
        let config = Config::load(&self.file).map_err(|error| Failure::of_file(&error))?;
        let names: Vec<&str> = config.brokers().collect();
        let broker = match (&self.broker, names.as_slice()) {
            (Some(name), names) if names.contains(&name.as_str()) => name.clone(),
            (Some(name), names) => {
                let known = names.join(", ");
                return Err(Failure::usage(format!("the file has no broker {name:?}; it has {known}")));
            }
            (None, [only]) => (*only).to_owned(),
            (None, several) => {
                let known = several.join(", ");
                return Err(Failure::usage(format!("the file has several brokers; choose one by --broker: {known}")));
            }
        };
        Ok(Loaded { config, broker })
    }
}

impl Loaded {
    /// The name of the broker that is meant.
    pub(super) fn broker_name(&self) -> &str {
        &self.broker
    }

    pub(super) fn topology(&self) -> Topology {
        self.config.topology(&self.broker).cloned().unwrap_or_default()
    }

    /// The broker that the command line names, or else the file.
    ///
    /// # Errors
    /// If it cannot be reached.
    pub(super) async fn connect(&self, session: &Session) -> Result<Arc<dyn Broker>> {
        if session.has_url() { session.connect().await } else { Ok(self.config.connect(&self.broker).await?) }
    }
}
