//! Which module a path leads to, whatever `use` and re-exports call things on the way.

use crate::circles::Edge;
use crate::source::Tree;
use crate::visit::{Names, names};
use std::collections::HashSet;

/// Re-exports followed for one name. Two modules that take over each other's names would lead on for ever.
const MAX_STEPS: usize = 32;

/// Every use of one module by another that is neither above nor below it, told of the two that have the same parent: what
/// a module below one of them uses, that one uses.
pub fn edges(tree: &Tree) -> Vec<Edge> {
    let names: Vec<Names> = tree.modules.iter().map(|module| names(&module.items)).collect();
    let resolver = Resolver { tree, names: &names };
    let mut edges = Vec::new();
    for (from, module) in tree.modules.iter().enumerate() {
        let mut seen = HashSet::new();
        for named in &names[from].paths {
            let Some(to) = resolver.module_of(from, &named.segments, MAX_STEPS) else { continue };
            let other = &tree.modules[to];
            let shared = module.path.iter().zip(&other.path).take_while(|(one, other)| one == other).count();
            let (Some(from), Some(to)) = (module.path.get(..=shared), other.path.get(..=shared)) else { continue };
            if seen.insert(to) {
                edges.push(Edge {
                    from: from.join("::"),
                    to: to.join("::"),
                    file: module.file.clone(),
                    line: named.line,
                    names: named.segments.join("::"),
                });
            }
        }
    }
    edges
}

struct Resolver<'a> {
    tree: &'a Tree,
    names: &'a [Names],
}

impl Resolver<'_> {
    /// The module that has what `path` names in module `at`; nothing if it is another crate's.
    fn module_of(&self, at: usize, path: &[String], steps: usize) -> Option<usize> {
        let (first, rest) = path.split_first()?;
        let start = match first.as_str() {
            "crate" => 0,
            "self" => at,
            "super" => self.tree.modules[at].parent?,
            name => return self.follow(at, name, rest, steps),
        };
        self.within(start, rest, steps)
    }

    /// As [`Self::module_of`], for a path that starts in module `at` itself.
    fn within(&self, at: usize, path: &[String], steps: usize) -> Option<usize> {
        match path.split_first() {
            None => Some(at),
            Some((first, rest)) if first == "super" => self.within(self.tree.modules[at].parent?, rest, steps),
            // What neither a module nor `use` has by this name is an item of the module's own.
            Some((name, rest)) => self.follow(at, name, rest, steps).or(Some(at)),
        }
    }

    /// The module that has what `name` and then `rest` lead to from module `at`; nothing if it does not know the name.
    fn follow(&self, at: usize, name: &str, rest: &[String], steps: usize) -> Option<usize> {
        let steps = steps.checked_sub(1)?;
        if let Some(child) = self.tree.modules[at].children.get(name) {
            return self.within(*child, rest, steps);
        }
        if let Some((_, path)) = self.names[at].aliases.iter().find(|(called, _)| called == name) {
            // `use name::…;` of another crate's name is no alias of itself.
            let path: Vec<String> = path.iter().chain(rest).cloned().collect();
            return if path.first().is_some_and(|first| first == name) {
                None
            } else {
                self.module_of(at, &path, steps)
            };
        }
        self.names[at].globs.iter().find_map(|glob| {
            let from = self.module_of(at, glob, steps).filter(|from| *from != at)?;
            self.follow(from, name, rest, steps)
        })
    }
}
