//! What befalls the way from one machine to a simulated server.

/// Where a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cut {
    /// The next commit does not arrive.
    Commit,
    /// The next commit arrives, and its answer does not.
    Answer,
    /// The next commit arrives so many milliseconds later, unless its connection is ended until then.
    Late(i64),
    /// Before the statement is carried out that comes after so many others.
    Before(u32),
    /// After that, so that its answer is lost.
    After(u32),
}

/// What is known of a way.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// Whether nothing passes.
    pub shut: bool,
    /// Milliseconds that whoever waits there has waited, while the simulation's time stood still.
    pub ahead: i64,
    /// Milliseconds after which the server notices that the other end is gone.
    pub lingers: i64,
    pub cut: Option<Cut>,
    /// What has broken there.
    pub struck: Vec<Cut>,
}

impl Way {
    /// Where the statement that comes breaks, if it does.
    pub fn strike(&mut self) -> Option<Cut> {
        let left = match &mut self.cut {
            Some(Cut::Before(left) | Cut::After(left)) => left,
            _ => return None,
        };
        if *left > 0 {
            *left -= 1;
            return None;
        }
        self.struck.extend(self.cut);
        self.cut.take()
    }

    /// Where the commit that comes breaks, if it does.
    pub fn strike_commit(&mut self) -> Option<Cut> {
        let cut = self.cut.take_if(|cut| matches!(cut, Cut::Commit | Cut::Answer | Cut::Late(_)));
        self.struck.extend(cut);
        cut
    }
}
