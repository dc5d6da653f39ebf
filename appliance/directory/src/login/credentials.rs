//! A name and a password as a server is told them.

use config_schema::{Secret, password::PASSWORD_MAX, user::NAME_MAX};

/// A name and a password that every protocol can carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    name: Box<str>,
    password: Secret,
}

/// Credentials that no server can be asked about; they count as wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The name is empty, too long, or has a control character.
    #[error("the name has to have 1 to {NAME_MAX} bytes without control characters")]
    Name,
    /// The password is empty, too long, or has a character that ends a line or a string.
    #[error("the password has to have 1 to {PASSWORD_MAX} bytes without NUL, CR and LF")]
    Password,
}

impl Credentials {
    /// Checks what no protocol can carry: a line's end would begin another command.
    ///
    /// # Errors
    /// [`CredentialsError`].
    pub fn new(name: &str, password: Secret) -> Result<Credentials, CredentialsError> {
        if name.is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) {
            return Err(CredentialsError::Name);
        }
        let text = password.expose();
        // An empty password is taken by some servers as no login at all.
        if text.is_empty() || text.len() > PASSWORD_MAX || text.contains(['\0', '\r', '\n']) {
            return Err(CredentialsError::Password);
        }
        Ok(Credentials { name: name.into(), password })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The password.
    pub fn password(&self) -> &Secret {
        &self.password
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_line_is_refused() {
        let of = |name: &str, password: &str| Credentials::new(name, Secret::new(password)).err();
        assert_eq!(of("ann@example.com", "s3cr\u{e9}t \"\\"), None);
        for name in ["", "a\r\nb", "a\0b", &"n".repeat(NAME_MAX + 1)] {
            assert_eq!(of(name, "x"), Some(CredentialsError::Name), "{name:?}");
        }
        for password in ["", "a\nb", "a\rb", "a\0b", &"p".repeat(PASSWORD_MAX + 1)] {
            assert_eq!(of("ann", password), Some(CredentialsError::Password), "{password:?}");
        }
        assert_eq!(of(&"n".repeat(NAME_MAX), &"p".repeat(PASSWORD_MAX)), None);
    }
}
