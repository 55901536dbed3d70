//! What the help of `swarrot work` says.

pub(super) const WORK: &str = "\
Runs a command for each message of a queue

The command gets the body on stdin and, in its environment:
  SWARROT_QUEUE, SWARROT_EXCHANGE, SWARROT_ROUTING_KEY   where the message came from
  SWARROT_ATTEMPT                                        which attempt this is, from 1
  SWARROT_REDELIVERED                                    1 if it was, or may have been, delivered before; otherwise 0
  SWARROT_DELIVERY_COUNT                                 how often the broker delivered it, where it counts
  SWARROT_MESSAGE_ID, SWARROT_TYPE, SWARROT_CONTENT_TYPE, SWARROT_CONTENT_ENCODING, SWARROT_CORRELATION_ID,
  SWARROT_REPLY_TO, SWARROT_TIMESTAMP (seconds since the Unix epoch), SWARROT_PRIORITY, SWARROT_APP_ID
                                                         the properties that it has
  SWARROT_HEADER_<NAME>                                  a header; its name in capitals, all but letters and digits as _
  SWARROT_HEADER_<NAME>_BASE64                           a header whose value is no text without zero bytes
  SWARROT_HEADERS                                        all headers as a JSON object
  SWARROT_LEFT_OUT                                       names of what does not fit, separated by commas

Exit code 0 acks the message. 75 (EX_TEMPFAIL), a time-out, or death by a signal tries it again later, as --retry says. Any
other code parks it in <queue>.dead, with the end of what the command wrote to stderr as the reason.

At SIGTERM or SIGINT nothing more is taken, and running commands get a SIGTERM, each with its children. What ends with 0
is acked, all else goes back to the queue without an attempt. After --deadline they are killed, and so are children that
go on for ten seconds after their command. A message is acked only when its command has ended well: if the worker is
killed, or the machine dies, others get its messages again.";
