//! Why a payload could not be read, and which reply code says so.

use crate::method;
use crate::method_id::MethodId;
use crate::reply_code::ReplyCode;

/// What is wrong with a run of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The payload ends inside a field.
    #[error("a field needs {needed} octets and {left} are left")]
    Truncated {
        /// Octets that the field needs.
        needed: u64,
        /// Octets that are there.
        left: usize,
    },
    /// Octets are left behind the last field.
    #[error("{left} octets are left behind the last field")]
    Trailing {
        /// How many.
        left: usize,
    },
    /// A field table is broken.
    #[error("field table: {0}")]
    Table(#[from] TableError),
}

/// What is wrong with a field table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The table ends inside a key or a value.
    #[error("a value needs {needed} octets and {left} are left")]
    Truncated {
        /// Octets that are needed.
        needed: u64,
        /// Octets that are there.
        left: usize,
    },
    /// No value type has this letter.
    #[error("unknown value type {}", char::from(*.letter).escape_default())]
    UnknownType {
        /// The letter.
        letter: u8,
    },
    /// Tables and arrays are nested too deep.
    #[error("nested deeper than {limit}")]
    TooDeep {
        /// Deepest nesting that is read.
        limit: usize,
    },
    /// The table is larger than any that is read.
    #[error("{len} octets, and at most {limit} are read")]
    TooLarge {
        /// Its octets.
        len: usize,
        /// Most octets that are read.
        limit: usize,
    },
}

/// Why a method frame could not be decoded. All of these end the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MethodError {
    /// The frame is shorter than a class and method number.
    #[error("a method frame without class and method number")]
    NoMethodId,
    /// No such class.
    #[error("unknown class {} in method {}", .id.class(), .id.method())]
    UnknownClass {
        /// What the frame says.
        id: MethodId,
    },
    /// The class has no such method.
    #[error("unknown method {} of class {}", .id.method(), .id.class())]
    UnknownMethod {
        /// What the frame says.
        id: MethodId,
    },
    /// The fields do not fit the method.
    #[error("{id}: {cause}")]
    Malformed {
        /// The method.
        id: MethodId,
        /// What is wrong with its fields.
        cause: Malformed,
    },
}

impl MethodError {
    pub(crate) fn unknown(id: MethodId) -> Self {
        if method::class_exists(id.class()) {
            Self::UnknownMethod { id }
        } else {
            Self::UnknownClass { id }
        }
    }

    /// The code for `connection.close`.
    //= amqp-0-9-1 constants/frame-error, syntax-error, command-invalid, not-implemented
    pub fn reply_code(&self) -> ReplyCode {
        match self {
            Self::NoMethodId => ReplyCode::FRAME_ERROR,
            Self::UnknownClass { .. } => ReplyCode::COMMAND_INVALID,
            Self::UnknownMethod { .. } => ReplyCode::NOT_IMPLEMENTED,
            Self::Malformed { .. } => ReplyCode::SYNTAX_ERROR,
        }
    }

    /// The class and method numbers for `connection.close`, zero if they were not read.
    pub fn method_id(&self) -> MethodId {
        match self {
            Self::NoMethodId => MethodId::new(0, 0),
            Self::UnknownClass { id } | Self::UnknownMethod { id } | Self::Malformed { id, .. } => *id,
        }
    }
}

/// Why a content header could not be read. All of these end the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// The frame is shorter than class, weight, size and flags.
    #[error("a content header of {len} octets")]
    TooShort {
        /// The payload's octets.
        len: usize,
    },
    /// Content of a class that carries none.
    #[error(
        "expected content header for class {}, got one for class {class} instead",
        method::basic::CLASS
    )]
    WrongClass {
        /// The class that it names.
        class: u16,
    },
    /// The weight, which nobody uses, is not zero.
    #[error(
        "expected content header for class {}, got non content header frame instead",
        method::basic::CLASS
    )]
    Weighed {
        /// The weight that it names.
        weight: u16,
    },
    /// The property flags go on into a second word, and no property has a flag there.
    #[error("property flags {flags:#06x} announce properties that do not exist")]
    UnknownFlags {
        /// The first word of flags.
        flags: u16,
    },
    /// The property list does not fit its flags.
    #[error("properties: {0}")]
    Malformed(#[from] Malformed),
}

impl ContentError {
    /// The code for `connection.close`.
    pub fn reply_code(&self) -> ReplyCode {
        match self {
            Self::TooShort { .. } => ReplyCode::FRAME_ERROR,
            Self::WrongClass { .. } | Self::Weighed { .. } => ReplyCode::UNEXPECTED_FRAME,
            Self::UnknownFlags { .. } | Self::Malformed(_) => ReplyCode::SYNTAX_ERROR,
        }
    }
}

impl From<TableError> for ContentError {
    fn from(error: TableError) -> Self {
        Self::Malformed(Malformed::Table(error))
    }
}
