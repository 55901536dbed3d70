//! The built program on real brokers, whose URLs are in `SWARROT_TEST_AMQP_URL` and `SWARROT_TEST_REDIS_URL`.

mod dead;
mod doctor;
mod layers;
mod manual;
mod measures;
mod mistakes;
mod pool;
mod publish;
mod queues;
mod stops;
mod support;
mod terminal;
mod top;
mod topology;
mod work;
