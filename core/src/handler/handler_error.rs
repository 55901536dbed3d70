//! What a handler may fail with.

use crate::error::BoxError;

/// An error that a handler may return: one that converts into a [`BoxError`], as every `std::error::Error` that is
/// `Send` and `Sync` does, and `String` and `&str`.
///
/// It is implemented for all of them, and by nobody else; it is there for what the compiler says about others.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a handler",
    label = "its error does not convert into `Box<dyn Error + Send + Sync>`",
    note = "implement `std::error::Error` for a type of yours, and see that it is `Send` and `Sync`; for errors of any type, return `BoxError`, which is `Box<dyn Error + Send + Sync>`"
)]
pub trait HandlerError {
    /// Turns it into an error without a type.
    fn into_box(self) -> BoxError;
}

// Otherwise the compiler would explain, in several errors, why std has no conversion.
#[diagnostic::do_not_recommend]
impl<E: Into<BoxError>> HandlerError for E {
    fn into_box(self) -> BoxError {
        self.into()
    }
}
