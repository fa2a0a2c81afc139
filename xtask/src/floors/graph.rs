//! Who imports whom, as a graph: its circles, and how many floors it has.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::modules::Name;

/// For each node, what it imports. Every import is a node, too.
pub(super) type Graph = BTreeMap<Name, BTreeSet<Name>>;

/// Sets of nodes each of which leads to all the others, and there are others.
pub(super) fn circles(graph: &Graph) -> Vec<BTreeSet<Name>> {
    let reached: BTreeMap<_, _> = graph.keys().map(|node| (node, reached_from(graph, node))).collect();
    let mut circles: Vec<_> = graph
        .keys()
        .filter(|node| reached[node].contains(*node))
        .map(|node| reached[node].iter().filter(|other| reached[other].contains(node)).cloned().collect())
        .collect();
    circles.sort();
    circles.dedup();
    circles
}

fn reached_from(graph: &Graph, start: &Name) -> BTreeSet<Name> {
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<_> = graph[start].iter().collect();
    while let Some(node) = waiting.pop() {
        if reached.insert(node.clone()) {
            waiting.extend(&graph[node]);
        }
    }
    reached
}

/// The shortest way round within a circle, import by import.
pub(super) fn way_round(graph: &Graph, circle: &BTreeSet<Name>) -> Vec<(Name, Name)> {
    let ways = circle.iter().filter_map(|start| shortest_way(graph, circle, start));
    ways.min_by_key(Vec::len).unwrap_or_default()
}

/// From a node back to itself.
fn shortest_way(graph: &Graph, circle: &BTreeSet<Name>, start: &Name) -> Option<Vec<(Name, Name)>> {
    let mut came_from: BTreeMap<&Name, &Name> = BTreeMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(node) = waiting.pop_front() {
        for next in graph[node].intersection(circle) {
            if !came_from.contains_key(next) {
                came_from.insert(next, node);
                waiting.push_back(next);
            }
        }
    }
    let mut way = Vec::new();
    let mut node = start;
    while way.is_empty() || node != start {
        let before = came_from.get(node)?;
        way.insert(0, ((*before).clone(), node.clone()));
        node = before;
    }
    Some(way)
}

/// The floor of each node: 1 if it imports nothing, else one above the highest that it imports. A circle lies on one floor.
pub(super) fn floors(graph: &Graph) -> BTreeMap<Name, usize> {
    let circles = circles(graph);
    let mut floors = BTreeMap::new();
    for node in graph.keys() {
        floor(graph, &circles, node, &mut floors);
    }
    floors
}

fn floor(
    graph: &Graph,
    circles: &[BTreeSet<Name>],
    node: &Name,
    floors: &mut BTreeMap<Name, usize>,
) -> usize {
    if let Some(known) = floors.get(node) {
        return *known;
    }
    let alone = BTreeSet::from([node.clone()]);
    let circle = circles.iter().find(|circle| circle.contains(node)).unwrap_or(&alone);
    let below = circle.iter().flat_map(|member| &graph[member]).filter(|below| !circle.contains(*below));
    let height = 1 + below.map(|below| floor(graph, circles, below, floors)).max().unwrap_or_default();
    floors.extend(circle.iter().map(|member| (member.clone(), height)));
    height
}

#[cfg(test)]
mod tests {
    use super::super::modules::tests::name;
    use super::*;

    fn graph(lines: &[&str]) -> Graph {
        let node = |line: &str| {
            let (from, to) = line.split_once(" -> ").unwrap();
            (name(from), to.split_whitespace().map(name).collect())
        };
        lines.iter().map(|line| node(line)).collect()
    }

    #[test]
    fn a_circle_is_found() {
        let graph = graph(&["a -> b", "b -> c d", "c -> a", "d -> e", "e -> ", "f -> a"]);
        assert_eq!(circles(&graph), [["a", "b", "c"].map(name).into()]);
    }

    #[test]
    fn the_shortest_way_round_is_told() {
        let graph = graph(&["a -> b", "b -> c", "c -> a d", "d -> c"]);
        let way = way_round(&graph, &circles(&graph)[0]);
        assert_eq!(way, [("c", "d"), ("d", "c")].map(|(from, to)| (name(from), name(to))));
    }

    #[test]
    fn two_circles_are_two() {
        let graph = graph(&["a -> b", "b -> a c", "c -> d", "d -> c"]);
        assert_eq!(circles(&graph).len(), 2);
    }

    #[test]
    fn the_longest_way_down_counts() {
        let graph = graph(&["a -> b d", "b -> c", "c -> d", "d -> ", "e -> f", "f -> e d"]);
        let floors = floors(&graph);
        let of = |node| floors[&name(node)];
        assert_eq!(["a", "b", "c", "d", "e", "f"].map(of), [4, 3, 2, 1, 2, 2]);
    }
}
