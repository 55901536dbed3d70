use swarrot_core::check_handler;

struct MailError;

async fn send(_text: String) -> Result<(), MailError> {
    Err(MailError)
}

fn main() {
    check_handler(&send);
}
