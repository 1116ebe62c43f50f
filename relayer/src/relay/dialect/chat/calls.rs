//! Numbers of the tool calls in a stream. Providers may leave a call's index out, or give the same one to several calls.

/// The calls of one answer, as they began.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Known>);

#[derive(Debug)]
struct Known {
    choice: u32,
    /// The index that the provider gave it.
    stated: u32,
    id: String,
    number: u32,
}

impl Calls {
    /// The number of the call that a part belongs to. A part with another id and a name of its own begins another call; some
    /// providers give every part a new id, but only the first a name.
    pub(super) fn number(&mut self, (choice, stated): (u32, u32), id: &str, name: &str) -> u32 {
        let known = self.0.iter_mut().rev().find(|known| (known.choice, known.stated) == (choice, stated));
        if let Some(known) = known
            && (id.is_empty() || name.is_empty() || known.id.is_empty() || known.id == id)
        {
            if known.id.is_empty() {
                known.id = id.to_owned();
            }
            return known.number;
        }
        let taken = |number: u32| self.0.iter().any(|known| (known.choice, known.number) == (choice, number));
        let above = || self.0.iter().filter(|known| known.choice == choice).map(|known| known.number).max();
        let number = if taken(stated) { above().map_or(0, |most| most.saturating_add(1)) } else { stated };
        self.0.push(Known { choice, stated, id: id.to_owned(), number });
        number
    }
}
