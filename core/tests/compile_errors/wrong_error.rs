use swarrot_core::check_handler;

struct MailError;

async fn send(text: String) -> Result<(), MailError> {
    Err(MailError)
}

fn main() {
    check_handler(&send);
}
