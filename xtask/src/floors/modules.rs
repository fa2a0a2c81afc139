//! A crate's files and what each imports of the others: its `mod`, its `use`, and the paths in its text.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::source::{Token, tokens};
use crate::{Failure, Outcome};

/// A module's name without the crate's: `["applet", "key"]`, or nothing for the root.
pub(super) type Name = Vec<String>;

/// The modules that have a file of their own.
pub(super) struct Crate {
    pub(super) modules: BTreeMap<Name, Module>,
}

/// A file.
pub(super) struct Module {
    pub(super) file: PathBuf,
    /// What it imports of other files, and in which line first. A file that lies within another's folder may use what that
    /// one defines: that is no import.
    pub(super) imports: BTreeMap<Name, usize>,
}

impl Crate {
    /// Reads the root, and every file that a `mod` leads to.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn read(root: &Path) -> Outcome<Self> {
        Self::read_with(root, &|path| {
            fs::read_to_string(path)
                .map_err(|error| Failure::new(format!("{} cannot be read: {error}", path.display())))
        })
    }

    fn read_with(root: &Path, read: &dyn Fn(&Path) -> Outcome<String>) -> Outcome<Self> {
        let mut texts = BTreeMap::new();
        let folder = root.parent().map_or_else(PathBuf::new, Path::to_owned);
        let mut waiting = vec![(Name::new(), root.to_owned(), folder)];
        while let Some((name, file, folder)) = waiting.pop() {
            let text = Text::of(&name, &tokens(&read(&file)?));
            for child in &text.children {
                let folder = child[name.len()..child.len() - 1].iter().fold(folder.clone(), |f, n| f.join(n));
                let last = &child[child.len() - 1];
                let file = [format!("{last}.rs"), format!("{last}/mod.rs")].map(|file| folder.join(file));
                let file = file.iter().find(|file| read(file).is_ok()).unwrap_or(&file[0]).clone();
                waiting.push((child.clone(), file, folder.join(last)));
            }
            texts.insert(name, (file, text));
        }
        let modules = texts.iter().map(|(name, (file, text))| {
            let mut imports = BTreeMap::new();
            for (path, line) in &text.paths {
                let Some(target) = defining_file(&texts, path) else { continue };
                if !name.starts_with(&target) {
                    imports.entry(target).or_insert(*line);
                }
            }
            (name.clone(), Module { file: file.clone(), imports })
        });
        Ok(Self { modules: modules.collect() })
    }
}

/// The file that defines what a path leads to. A name that a file has from elsewhere leads on to there.
fn defining_file(texts: &BTreeMap<Name, (PathBuf, Text)>, path: &[String]) -> Option<Name> {
    let mut path = path.to_vec();
    let mut seen = BTreeSet::new();
    loop {
        let length = (0..=path.len()).rev().find(|length| texts.contains_key(&path[..*length]))?;
        let text = &texts[&path[..length]].1;
        let next = path.get(length).and_then(|name| text.names.get(name));
        match next {
            Some(next) if seen.insert(path.clone()) => {
                path = [next, &path[length + 1..]].concat();
            }
            _ => return Some(path[..length].to_vec()),
        }
    }
}

/// What one file says of others.
#[derive(Default)]
struct Text {
    /// Modules in files of their own.
    children: Vec<Name>,
    /// Paths within the crate, absolute, and their lines.
    paths: Vec<(Name, usize)>,
    /// What the file's names stand for that it imports.
    names: BTreeMap<String, Name>,
}

impl Text {
    fn of(file: &Name, tokens: &[Token]) -> Self {
        let mut reader =
            Reader { tokens, at: 0, module: file.clone(), open: Vec::new(), text: Self::default() };
        reader.children();
        reader.paths();
        reader.text
    }
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    /// The module at hand, which may be one within the file.
    module: Name,
    /// For each open brace, whether it is a module's.
    open: Vec<bool>,
    text: Text,
}

impl<'a> Reader<'a> {
    fn word(&self, ahead: usize) -> &'a str {
        self.tokens.get(self.at + ahead).map_or("", |token| &token.text)
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).map_or(0, |token| token.line)
    }

    /// Follows the braces, so that `self` and `super` mean what they mean within a module in the file.
    fn step(&mut self) {
        match self.word(0) {
            "mod" if self.word(2) == "{" && self.leads_out() => {
                self.at += 2;
                return self.skip_braces();
            }
            "mod" if self.word(2) == "{" => {
                self.module.push(self.word(1).to_owned());
                self.open.push(true);
                self.at += 2;
            }
            "{" => self.open.push(false),
            "}" if self.open.pop() == Some(true) => {
                self.module.pop();
            }
            _ => {}
        }
        self.at += 1;
    }

    fn children(&mut self) {
        while self.at < self.tokens.len() {
            if self.word(0) == "mod" && self.word(2) == ";" && !self.leads_out() {
                let child = [&self.module[..], &[self.word(1).to_owned()]].concat();
                self.text.paths.push((child.clone(), self.line()));
                self.text.children.push(child);
            }
            self.step();
        }
        self.at = 0;
    }

    /// From an opening brace to behind the one that closes it.
    fn skip_braces(&mut self) {
        let mut open = 0;
        while self.at < self.tokens.len() {
            match self.word(0) {
                "{" => open += 1,
                "}" => open -= 1,
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return;
            }
        }
    }

    /// After `#[path = …]`: that file, or folder of files, belongs to another tree.
    fn leads_out(&self) -> bool {
        let before: Vec<_> =
            self.tokens[..self.at].iter().rev().take(5).map(|token| &token.text[..]).collect();
        before == ["]", "=", "path", "[", "#"]
    }

    fn paths(&mut self) {
        while self.at < self.tokens.len() {
            let is_first = !matches!(&self.tokens[..self.at], [.., a, b] if a.text == ":" && b.text == ":");
            if self.word(0) == "use" {
                self.at += 1;
                self.use_tree(&Vec::new());
            } else if is_first && self.is_path() {
                let line = self.line();
                let mut path = vec![self.word(0).to_owned()];
                while self.word(1) == ":" && self.word(2) == ":" && is_name(self.word(3)) {
                    path.push(self.word(3).to_owned());
                    self.at += 3;
                }
                self.at += 1;
                self.add(&path, line);
            } else {
                self.step();
            }
        }
    }

    fn is_path(&self) -> bool {
        self.word(1) == ":" && self.word(2) == ":" && is_name(self.word(0))
    }

    /// `a::{b, c::D as E, f::*}`, up to the comma, brace or semicolon behind it.
    fn use_tree(&mut self, before: &Name) {
        let line = self.line();
        let mut path = before.clone();
        loop {
            match self.word(0) {
                ":" => {}
                "{" => {
                    while !matches!(self.word(0), "}" | "") {
                        self.at += 1;
                        self.use_tree(&path);
                    }
                    self.at += 1;
                    return;
                }
                "as" => {
                    let name = self.word(1).to_owned();
                    self.at += 2;
                    return self.import(&path, name, line);
                }
                name if is_name(name) => path.push(name.to_owned()),
                "*" => {}
                _ => break,
            }
            self.at += 1;
        }
        if path.len() > before.len() {
            let name = path.iter().rev().find(|name| *name != "self").cloned().unwrap_or_default();
            self.import(&path, name, line);
        }
    }

    fn import(&mut self, path: &[String], name: String, line: usize) {
        let Some(path) = self.add(path, line) else { return };
        if self.open.is_empty() {
            self.text.names.insert(name, path);
        }
    }

    /// Notes a path within this crate, and gives its absolute form.
    fn add(&mut self, path: &[String], line: usize) -> Option<Name> {
        let mut rest = path.iter().map(String::as_str).peekable();
        let child = |name: &str| [&self.module[..], &[name.to_owned()]].concat();
        let mut absolute = match rest.peek().copied()? {
            "crate" => Name::new(),
            "self" | "super" => self.module.clone(),
            name if self.text.children.contains(&child(name)) => self.module.clone(),
            _ => return None,
        };
        for name in rest {
            match name {
                "crate" | "self" => {}
                "super" => drop(absolute.pop()),
                name => absolute.push(name.to_owned()),
            }
        }
        self.text.paths.push((absolute.clone(), line));
        Some(absolute)
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A crate of files in memory: `lib.rs` is its root.
    pub(in crate::floors) fn made_of(files: &[(&str, &str)]) -> Crate {
        let read = |path: &Path| {
            let file = files.iter().find(|(name, _)| Path::new(name) == path);
            file.map(|(_, text)| (*text).to_owned()).ok_or_else(|| Failure::new("no such file"))
        };
        Crate::read_with(Path::new("lib.rs"), &read).unwrap()
    }

    fn imports(files: &[(&str, &str)], of: &str) -> Vec<String> {
        let found = made_of(files);
        found.modules[&name(of)].imports.keys().map(|import| import.join("::")).collect()
    }

    pub(in crate::floors) fn name(text: &str) -> Name {
        text.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn files_are_found_by_their_mod() {
        let files = [
            ("lib.rs", "mod a; pub(crate) mod b;"),
            ("a.rs", "mod c;"),
            ("a/c.rs", ""),
            ("b/mod.rs", "mod d;"),
        ];
        let files = [&files[..], &[("b/d.rs", ""), ("nobody.rs", "mod e;")]].concat();
        let found = made_of(&files);
        let names: Vec<_> = found.modules.keys().map(|name| name.join("::")).collect();
        assert_eq!(names, ["", "a", "a::c", "b", "b::d"]);
        assert_eq!(imports(&files, "a"), ["a::c"]);
    }

    #[test]
    fn every_form_of_a_path_is_an_import() {
        for text in [
            "use crate::b::Thing;",
            "use super::b::Thing;",
            "use crate::{b::{Thing}, std};",
            "use super::{b};",
            "use crate::b::{self, Thing as Other};",
            "use crate::b::*;",
            "fn f() -> crate::b::Thing { super::b::make() }",
            "fn f() { g::<crate::b::Thing>() }",
            "mod inner { use super::super::b::Thing; }",
            "pub use crate::b::Thing;",
        ] {
            let files = [("lib.rs", "mod a; mod b;"), ("a.rs", text), ("b.rs", "pub struct Thing;")];
            assert_eq!(imports(&files, "a"), ["b"], "{text}");
        }
    }

    #[test]
    fn what_is_no_import() {
        for text in [
            "use std::fmt; use b::Thing;",
            "// crate::b\nconst A: &str = \"crate::b\";",
            "pub(crate) fn f() {}",
            "mod b { pub fn f() {} } fn g() { b::f() }",
            "#[cfg(test)] mod tests { use crate::b::Thing; }",
            "use self::Own; use crate::a::Own; enum Own {}",
            "#[path = \"b.rs\"] mod c;",
            "#[path = \"../d\"] mod c { mod e; use crate::b; fn f() { crate::b::g() } }",
        ] {
            let files = [("lib.rs", "mod a; mod b;"), ("a.rs", text), ("b.rs", "")];
            assert_eq!(imports(&files, "a"), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_file_may_use_what_the_file_around_it_defines() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "mod c; use crate::b::Thing; struct Own;"),
            ("a/c.rs", "use super::{Own, Thing};"),
            ("b.rs", "pub struct Thing;"),
        ];
        assert_eq!(imports(&files, "a::c"), ["b"], "a name from elsewhere leads to there");
    }

    #[test]
    fn a_test_module_in_a_file_of_its_own_is_not_read() {
        let files = [("lib.rs", "mod a;"), ("a.rs", "#[cfg(test)] mod tests;")];
        assert_eq!(made_of(&files).modules.len(), 2);
    }
}
