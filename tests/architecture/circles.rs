//! Circles in a graph of modules.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};

/// A module's use of another.
#[derive(Clone, Debug)]
pub struct Edge {
    pub from: String,
    pub to: String,
    /// Where it is written.
    pub file: PathBuf,
    pub line: usize,
    /// The path as it is written there.
    pub names: String,
}

impl Edge {
    /// The use in one line.
    pub fn shown(&self, file: &dyn Fn(&Path) -> String) -> String {
        format!("{} uses {}: {}:{} names {}", self.from, self.to, file(&self.file), self.line, self.names)
    }
}

/// The shortest circle through each module that is in one, every module named once: those of a circle already found are
/// left out of the next.
pub fn find(edges: &[Edge]) -> Vec<Vec<Edge>> {
    let mut graph: BTreeMap<&str, Vec<&Edge>> = BTreeMap::new();
    for edge in edges {
        graph.entry(&edge.from).or_default().push(edge);
    }
    let mut found: Vec<Vec<Edge>> = Vec::new();
    let mut named: HashSet<&str> = HashSet::new();
    for start in graph.keys() {
        if named.contains(start) {
            continue;
        }
        if let Some(circle) = shortest(&graph, start, &named) {
            named.extend(circle.iter().map(|edge| edge.from.as_str()));
            found.push(circle.into_iter().cloned().collect());
        }
    }
    found
}

/// The shortest way from `start` back to it that passes none of `without`.
fn shortest<'a>(
    graph: &BTreeMap<&'a str, Vec<&'a Edge>>,
    start: &str,
    without: &HashSet<&str>,
) -> Option<Vec<&'a Edge>> {
    let mut came_by: HashMap<&str, &'a Edge> = HashMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(at) = waiting.pop_front() {
        for edge in graph.get(at).into_iter().flatten() {
            let next = edge.to.as_str();
            if without.contains(next) || came_by.contains_key(next) {
                continue;
            }
            came_by.insert(next, edge);
            if next == start {
                return Some(way_to(start, &came_by));
            }
            waiting.push_back(next);
        }
    }
    None
}

fn way_to<'a>(start: &str, came_by: &HashMap<&str, &'a Edge>) -> Vec<&'a Edge> {
    let mut way = Vec::new();
    let mut at = start;
    loop {
        let edge = came_by[at];
        way.push(edge);
        at = &edge.from;
        if at == start {
            way.reverse();
            return way;
        }
    }
}
