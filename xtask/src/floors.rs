//! `cargo xtask floors`: which file imports which, and whether that goes down only.
//!
//! It reads the text, not what the compiler makes of it. What only tests are built from does not count. A test of this module
//! judges the whole tree, so `cargo xtask test` fails on an import against the floors and on a circle of files.

mod graph;
mod house;
mod modules;
mod source;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::say::{headline, say};
use crate::workspace::root;
use crate::{Failure, Outcome};
use graph::Graph;
use house::{Exception, HOUSES, House, PACKAGES};
use modules::{Crate, Name};

/// Shows the floors of each crate whose path begins so, and what is wrong with them. Crates without floors are shown where
/// something is.
///
/// # Errors
/// A file that cannot be read, or a beginning that no crate has.
pub(crate) fn show(wanted: &str) -> Outcome {
    let crates: Vec<_> = crates()?.into_iter().filter(|(name, _)| name.starts_with(wanted)).collect();
    if crates.is_empty() {
        return Err(Failure::new(format!("no crate's path begins with `{wanted}`, as mock-card/src does")));
    }
    for (name, found) in crates {
        let house = HOUSES.iter().find(|house| house.root == name);
        let problems = problems(house, &found);
        if house.is_none() && problems.is_empty() {
            continue;
        }
        headline(&name);
        if let Some(house) = house {
            show_rooms(house);
            show_files(&found);
        }
        say(format_args!("  Problems: {}", problems.len()));
        problems.iter().for_each(|problem| say(format_args!("        {problem}")));
    }
    Ok(())
}

fn show_rooms(house: &House) {
    say("  The floors and their rooms:");
    for (floor, rooms) in house.floors.iter().enumerate() {
        say(format_args!("  {:>4}  {}", house.floors.len() - floor, rooms.join(" ")));
    }
    for Exception { from, to, why } in house.exceptions {
        say(format_args!("  An exception: {from} imports {to}, because {why}"));
    }
}

/// A file's own floor is one above the highest file that it imports.
fn show_files(found: &Crate) {
    let floors = graph::floors(&files(found));
    say("  The files, each above those that it imports:");
    for floor in (1..=floors.values().copied().max().unwrap_or_default()).rev() {
        let names = floors.iter().filter(|(_, of)| **of == floor).map(|(name, _)| shown(name));
        say(format_args!("  {floor:>4}  {}", names.collect::<Vec<_>>().join(" ")));
    }
}

fn files(found: &Crate) -> Graph {
    found
        .modules
        .iter()
        .map(|(name, module)| (name.clone(), module.imports.keys().cloned().collect()))
        .collect()
}

fn shown(name: &Name) -> String {
    if name.is_empty() { "(root)".to_owned() } else { name.join("::") }
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    /// Files that import each other, and the shortest way round.
    Circle { files: Vec<String>, way: Vec<Import> },
    /// An import that does not go down.
    Against(Import),
    /// A module that is in no room.
    Homeless(String),
    /// A room without a module.
    Empty(&'static str),
    /// An exception that nothing needs.
    Stale { from: &'static str, to: &'static str },
}

/// One file's import of another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Import {
    from: String,
    to: String,
    file: PathBuf,
    line: usize,
}

impl Import {
    fn of(found: &Crate, from: &Name, to: &Name) -> Self {
        let module = &found.modules[from];
        Self { from: shown(from), to: shown(to), file: module.file.clone(), line: module.imports[to] }
    }
}

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, file, line } = self;
        let file = file.strip_prefix(root()).unwrap_or(file);
        write!(f, "{}:{line}: `{from}` imports `{to}`", file.display())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Circle { files, way } => {
                write!(f, "these files import each other in a circle: {}", files.join(", "))?;
                way.iter().try_for_each(|import| write!(f, "\n            {import}"))
            }
            Self::Against(import) => write!(f, "{import}, which is not on a floor below"),
            Self::Homeless(name) => write!(f, "`{name}` is in no room; give it a floor in floors/house.rs"),
            Self::Empty(room) => write!(f, "the room `{room}` has no module; take it out of floors/house.rs"),
            Self::Stale { from, to } => write!(
                f,
                "`{from}` does not import `{to}` against the floors; take the exception out of floors/house.rs"
            ),
        }
    }
}

fn problems(house: Option<&House>, found: &Crate) -> Vec<Problem> {
    let against = house.map(|house| against_the_floors(house, found));
    [circles(found), against.unwrap_or_default()].concat()
}

fn circles(found: &Crate) -> Vec<Problem> {
    let files = files(found);
    let circles = graph::circles(&files);
    circles
        .iter()
        .map(|circle| {
            let way = graph::way_round(&files, circle);
            Problem::Circle {
                files: circle.iter().map(shown).collect(),
                way: way.iter().map(|(from, to)| Import::of(found, from, to)).collect(),
            }
        })
        .collect()
}

fn against_the_floors(house: &House, found: &Crate) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut inhabited = BTreeSet::new();
    let mut needed = BTreeSet::new();
    for (name, module) in found.modules.iter().filter(|(name, _)| !name.is_empty()) {
        let Some((room, floor)) = room_of(house, name) else {
            problems.push(Problem::Homeless(shown(name)));
            continue;
        };
        inhabited.insert(room);
        for import in module.imports.keys() {
            let Some((other, below)) = room_of(house, import) else { continue };
            if other == room || below > floor {
                continue;
            }
            let import = Import::of(found, name, import);
            let exception =
                house.exceptions.iter().position(|known| known.from == import.from && known.to == import.to);
            match exception {
                Some(known) => drop(needed.insert(known)),
                None => problems.push(Problem::Against(import)),
            }
        }
    }
    let rooms = house.floors.iter().copied().flatten();
    problems.extend(rooms.filter(|room| !inhabited.contains(*room)).map(|room| Problem::Empty(room)));
    let stale = house.exceptions.iter().enumerate().filter(|(number, _)| !needed.contains(number));
    problems.extend(stale.map(|(_, known)| Problem::Stale { from: known.from, to: known.to }));
    problems
}

/// The innermost room that a module is in, and its floor from the top.
fn room_of(house: &House, name: &Name) -> Option<(&'static str, usize)> {
    let rooms = house
        .floors
        .iter()
        .enumerate()
        .flat_map(|(floor, rooms)| rooms.iter().map(move |room| (*room, floor)));
    let around = rooms.filter(|(room, _)| {
        let mut parts = name.iter();
        room.split("::").all(|part| parts.next().is_some_and(|name| name == part))
    });
    around.max_by_key(|(room, _)| room.len())
}

/// Every crate of ours, by the path of its root file.
fn crates() -> Outcome<Vec<(String, Crate)>> {
    let workspace = root();
    let roots = PACKAGES.iter().flat_map(|package| roots(&workspace.join(package)));
    roots
        .map(|file| {
            let name = file.strip_prefix(&workspace).unwrap_or(&file).display().to_string();
            Ok((name, Crate::read(&file)?))
        })
        .collect()
}

/// The root files of a package's crates: where cargo looks for them, and where our manifests say that they are.
fn roots(package: &Path) -> Vec<PathBuf> {
    let fixed = ["src/lib.rs", "src/main.rs", "hw-tests/main.rs"].map(|file| package.join(file));
    let folders = ["src/bin", "tests", "benches", "fuzz_targets"].map(|folder| package.join(folder));
    let entries = folders.into_iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let found =
        entries.map(|entry| entry.path()).map(|path| if path.is_dir() { path.join("main.rs") } else { path });
    let is_rust = |path: &PathBuf| path.is_file() && path.extension().is_some_and(|end| end == "rs");
    let mut roots: Vec<_> = fixed.into_iter().chain(found).filter(is_rust).collect();
    roots.sort();
    roots
}

#[cfg(test)]
mod tests {
    use super::modules::tests::made_of;
    use super::*;

    #[test]
    fn the_tree_keeps_to_its_floors() {
        let crates = crates().unwrap();
        assert!(crates.len() > 40, "only {} crates are found", crates.len());
        let known = |root: &str| crates.iter().any(|(name, _)| name == root);
        for root in HOUSES.iter().map(|house| house.root) {
            assert!(known(root), "floors/house.rs speaks of {root}, which is not there");
        }
        let mut found = Vec::new();
        for (name, crate_of_ours) in &crates {
            let house = HOUSES.iter().find(|house| house.root == name);
            found.extend(problems(house, crate_of_ours).iter().map(|problem| format!("{name}: {problem}")));
        }
        assert!(found.is_empty(), "\n{}", found.join("\n"));
    }

    /// No more than the project has set itself, and none without a reason.
    #[test]
    fn floors_and_exceptions_are_few() {
        for house in HOUSES {
            assert!(house.floors.len() <= 12, "{} has {} floors", house.root, house.floors.len());
            assert!(house.exceptions.len() <= 2, "{} has {} exceptions", house.root, house.exceptions.len());
            assert!(house.exceptions.iter().all(|known| known.why.len() > 20), "{}: why?", house.root);
        }
    }

    type Files<'a> = [(&'a str, &'a str)];

    /// What is found in a crate of the rooms `top`, `middle` and `bottom`, on three floors.
    fn judged(exceptions: &'static [Exception], files: &Files<'_>) -> Vec<String> {
        let house = House { root: "lib.rs", floors: &[&["top"], &["middle"], &["bottom"]], exceptions };
        found_in(&house, &[&[("lib.rs", "mod top; mod middle; mod bottom;")], files].concat())
    }

    fn found_in(house: &House, files: &Files<'_>) -> Vec<String> {
        problems(Some(house), &made_of(files)).iter().map(Problem::to_string).collect()
    }

    const NONE: &[String] = &[];

    #[test]
    fn imports_that_go_down_are_fine() {
        let top = "use crate::middle::A; use crate::bottom::B;";
        let files = [("top.rs", top), ("middle.rs", "use super::bottom::B;"), ("bottom.rs", "")];
        assert_eq!(judged(&[], &files), NONE);
    }

    #[test]
    fn an_import_that_goes_up_is_found() {
        let files = [("top.rs", ""), ("middle.rs", ""), ("bottom.rs", "\nuse crate::middle::A;")];
        let found = ["bottom.rs:2: `bottom` imports `middle`, which is not on a floor below"];
        assert_eq!(judged(&[], &files), found);
    }

    #[test]
    fn an_import_across_a_floor_is_found() {
        let house = House { root: "lib.rs", floors: &[&["one", "two"]], exceptions: &[] };
        let files =
            [("lib.rs", "mod one; mod two;"), ("one.rs", "fn f() { crate::two::g() }"), ("two.rs", "")];
        assert_eq!(
            found_in(&house, &files),
            ["one.rs:1: `one` imports `two`, which is not on a floor below"]
        );
    }

    #[test]
    fn a_circle_within_a_room_is_found() {
        let files = [
            ("top.rs", "mod one; mod two;"),
            ("top/one.rs", "use super::two::A;"),
            ("top/two.rs", "use super::one::B;"),
            ("middle.rs", ""),
            ("bottom.rs", ""),
        ];
        let found = ["these files import each other in a circle: top::one, top::two\n            \
                      top/one.rs:1: `top::one` imports `top::two`\n            \
                      top/two.rs:1: `top::two` imports `top::one`"];
        assert_eq!(judged(&[], &files), found);
    }

    #[test]
    fn a_room_within_a_room_has_a_floor_of_its_own() {
        let files =
            [("lib.rs", "mod a;"), ("a.rs", "mod b; mod c;"), ("a/b.rs", ""), ("a/c.rs", "use super::b;")];
        let house = |floors| House { root: "lib.rs", floors, exceptions: &[] };
        assert_eq!(found_in(&house(&[&["a"], &["a::b"]]), &files), NONE);
        let upside_down = found_in(&house(&[&["a::b"], &["a"]]), &files);
        assert_eq!(upside_down.len(), 2, "from the room's own file, and from another in it: {upside_down:?}");
    }

    #[test]
    fn imports_of_test_modules_do_not_count() {
        let text = "#[cfg(test)] mod tests { use crate::top::A; } #[cfg(test)] use crate::middle::B;";
        let files = [("top.rs", ""), ("middle.rs", ""), ("bottom.rs", text)];
        assert_eq!(judged(&[], &files), NONE);
    }

    #[test]
    fn an_exception_is_for_one_import_and_must_be_needed() {
        const UP: &[Exception] = &[Exception { from: "bottom", to: "top", why: "a test of exceptions" }];
        let upwards = [("top.rs", ""), ("middle.rs", ""), ("bottom.rs", "use crate::top::A;")];
        assert_eq!(judged(UP, &upwards), NONE);
        let stale =
            "`bottom` does not import `top` against the floors; take the exception out of floors/house.rs";
        let other = [("top.rs", ""), ("middle.rs", ""), ("bottom.rs", "use crate::middle::A;")];
        assert_eq!(judged(UP, &other).len(), 2);
        assert_eq!(judged(UP, &[("top.rs", ""), ("middle.rs", ""), ("bottom.rs", "")]), [stale]);
    }

    #[test]
    fn every_module_is_in_a_room_and_every_room_has_a_module() {
        let house = House { root: "lib.rs", floors: &[&["old"]], exceptions: &[] };
        let found = [
            "`new` is in no room; give it a floor in floors/house.rs",
            "the room `old` has no module; take it out of floors/house.rs",
        ];
        assert_eq!(found_in(&house, &[("lib.rs", "mod new;"), ("new.rs", "")]), found);
    }
}
