//! The conformance suite, on quorum queues and on classic ones.
//!
//! `SWARROT_TEST_AMQP_URL` names a server that stays as it is, `SWARROT_TEST_AMQP_NODE` the folder of one that may be
//! killed; what is missing is started from the installed programs, and so is one more to be killed.

mod faulty;
mod server;

use std::sync::Arc;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, DecimalValue, FieldTable};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use swarrot_amqp::AmqpBroker;
use swarrot_conformance::{Faults, FaultyBroker, Harness, conformance_tests};
use swarrot_core::topology::{Queue, QueueKind};
use swarrot_core::{BoxError, Broker, Capabilities, async_trait};

conformance_tests!(Amqp { kind: QueueKind::Quorum }, Amqp { kind: QueueKind::Classic });

/// RabbitMQ, with one kind of queue.
#[derive(Debug)]
struct Amqp {
    kind: QueueKind,
}

#[async_trait]
impl Harness for Amqp {
    fn name(&self) -> &str {
        match self.kind {
            QueueKind::Quorum => "amqp-quorum",
            QueueKind::Classic => "amqp-classic",
        }
    }

    fn capabilities(&self) -> Capabilities {
        server::capabilities(self.kind)
    }

    fn queue(&self, name: &str) -> Queue {
        Queue::new(name).kind(self.kind)
    }

    async fn connect(&self) -> Result<Arc<dyn Broker>, BoxError> {
        Ok(Arc::new(AmqpBroker::connect(&server::steady().parse()?).await?))
    }

    async fn raw_publish(&self, queue: &str, body: &[u8]) -> Result<(), BoxError> {
        let connection = Connection::connect(server::steady(), ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let mut inner = FieldTable::default();
        inner.insert("".into(), AMQPValue::DecimalValue(DecimalValue { scale: 3, value: 7 }));
        let mut headers = FieldTable::default();
        headers.insert("\u{e9}t\u{e9}".into(), AMQPValue::FieldTable(inner));
        headers.insert("not-text".into(), AMQPValue::LongString(vec![0xff, 0xfe].into()));
        headers.insert("small".into(), AMQPValue::ShortShortInt(-1));
        headers.insert("half".into(), AMQPValue::Float(0.5));
        headers.insert("x-odd".into(), AMQPValue::FieldArray(vec![AMQPValue::Void, AMQPValue::LongUInt(1)].into()));
        let properties = BasicProperties::default().with_headers(headers).with_delivery_mode(1).with_priority(200);
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let confirmation = channel.basic_publish("".into(), queue.into(), options, body, properties).await?.await?;
        let returned = confirmation.is_nack() || confirmation.take_message().is_some();
        connection.close(200, "".into()).await?;
        if returned { Err("the broker did not take it".into()) } else { Ok(()) }
    }

    fn faults(&self) -> Faults {
        Faults { cut: true, freeze: true, restart: true, block: true, close_all_connections: true }
    }

    async fn faulty(&self) -> Result<Arc<dyn FaultyBroker>, BoxError> {
        Ok(Arc::new(faulty::Node::whole(self.kind).await?))
    }
}
