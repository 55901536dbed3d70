//! What has passed through a proxy.

use super::rules::Direction;

/// What has passed through a proxy since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Connections accepted.
    pub connections: u64,
    /// Connections that are open now.
    pub open: u64,
    /// How often connections were cut, by command or when a limit was reached.
    pub cuts: u64,
    /// From clients to the server.
    pub to_server: Flow,
    /// From the server to clients.
    pub to_client: Flow,
}

/// What has passed in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flow {
    /// Bytes.
    pub bytes: u64,
    /// AMQP frames but heartbeats; without meaning for other protocols.
    pub frames: u64,
}

impl Counters {
    /// What has passed in this direction.
    pub fn flow(&self, direction: Direction) -> Flow {
        match direction {
            Direction::ToServer => self.to_server,
            Direction::ToClient => self.to_client,
        }
    }

    pub(super) fn flow_mut(&mut self, direction: Direction) -> &mut Flow {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }
}
