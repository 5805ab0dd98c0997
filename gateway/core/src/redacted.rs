//! How what goes to the store and comes from it is printed: records hold keys, so their bytes are counted.

use core::fmt;

use crate::storage::{Change, Found};

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { key, value } => write!(f, "Put({key:?}, {} bytes)", value.len()),
            Self::Delete(key) => write!(f, "Delete({key:?})"),
            Self::Append { mailbox, item } => write!(f, "Append({mailbox}, {item:?})"),
            Self::Void { mailbox, number } => write!(f, "Void({mailbox}, {number})"),
            Self::Acknowledge { mailbox, up_to } => write!(f, "Acknowledge({mailbox}, {up_to})"),
        }
    }
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(None) => f.write_str("Value(None)"),
            Self::Value(Some(value)) => write!(f, "Value({} bytes)", value.len()),
            Self::Items(items) => write!(f, "Items({items:?})"),
            Self::Index(items) => write!(f, "Index({items:?})"),
            Self::Pending(pending) => write!(f, "Pending({pending:?})"),
            Self::Aged { mailbox, next } => write!(f, "Aged({mailbox:?}, {next:?})"),
            Self::Keys { keys, more } => write!(f, "Keys({keys:?}, {more})"),
        }
    }
}
