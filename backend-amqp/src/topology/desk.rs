//! Where declarations are made: a channel that is opened anew after an error, which closes it.

use std::time::Duration;

use swarrot_core::{Error, ErrorKind, Result};

use crate::connection::{CALL_TIMEOUT, Channel, Link, Server};
use crate::error::within;

/// Makes calls one after the other.
pub(crate) struct Desk<'a> {
    link: &'a Link,
    channel: Option<Channel>,
}

impl<'a> Desk<'a> {
    pub(crate) fn new(link: &'a Link) -> Self {
        Self { link, channel: None }
    }

    /// The server at the other end.
    pub(crate) async fn server(&mut self) -> Result<Server> {
        Ok(self.channel().await?.server.clone())
    }

    /// The link's connection by its number.
    pub(crate) async fn connection(&mut self) -> Result<u64> {
        Ok(self.channel().await?.connection)
    }

    /// Calls the server, about a queue or exchange.
    pub(crate) async fn call<T, F>(
        &mut self,
        operation: &'static str,
        target: &str,
        call: impl FnOnce(lapin::Channel) -> F,
    ) -> Result<T>
    where
        F: Future<Output = lapin::Result<T>>,
    {
        self.call_for(CALL_TIMEOUT, operation, target, call).await
    }

    /// The same for a call that may take longer than most.
    pub(crate) async fn call_for<T, F>(
        &mut self,
        limit: Duration,
        operation: &'static str,
        target: &str,
        call: impl FnOnce(lapin::Channel) -> F,
    ) -> Result<T>
    where
        F: Future<Output = lapin::Result<T>>,
    {
        let channel = self.channel().await.map_err(|error| error.with_operation(operation))?;
        let (lapin, connection) = (channel.lapin.clone(), channel.connection);
        let result = within(limit, operation, call(lapin)).await;
        if let Err(error) = &result {
            self.channel = None;
            if error.kind() == ErrorKind::Timeout && !*self.link.blocked().borrow() {
                self.link.discard(connection).await;
            }
        }
        result.map_err(|error: Error| if target.is_empty() { error } else { error.with_target(target) })
    }

    async fn channel(&mut self) -> Result<&Channel> {
        // A channel may have died since the last call, with its connection.
        if self.channel.as_ref().is_some_and(|channel| !channel.lapin.status().connected()) {
            self.channel = None;
        }
        match &mut self.channel {
            Some(channel) => Ok(channel),
            none => Ok(none.insert(self.link.channel().await?)),
        }
    }
}
