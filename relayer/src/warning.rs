//! What works, and should be looked at all the same.

use std::fmt;

/// Something for a person to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What is so.
    pub says: String,
    /// What mends it.
    pub mend: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.says, self.mend)
    }
}
