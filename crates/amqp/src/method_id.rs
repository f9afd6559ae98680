//! Class and method number of a method.

use crate::cursor::Cursor;
use crate::decode_error::MethodError;
use crate::method;

/// A method's class and its number in the class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MethodId {
    class: u16,
    method: u16,
}

impl MethodId {
    /// Wraps the two numbers.
    pub const fn new(class: u16, method: u16) -> Self {
        Self { class, method }
    }

    /// The class's number.
    pub const fn class(self) -> u16 {
        self.class
    }

    /// The method's number in its class.
    pub const fn method(self) -> u16 {
        self.method
    }

    /// The name as the specification writes it, such as `basic.publish`.
    pub fn name(self) -> Option<&'static str> {
        method::name_of(self)
    }

    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, MethodError> {
        let class = cursor.short().map_err(|_| MethodError::NoMethodId)?;
        let method = cursor.short().map_err(|_| MethodError::NoMethodId)?;
        Ok(Self { class, method })
    }
}

impl std::fmt::Display for MethodId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "class {} method {}", self.class, self.method),
        }
    }
}
