//! Values of cargo's configuration, each with the place where it is written, and how cargo merges them.
//!
//! The rules are those of cargo 1.95, `util/context/config_value.rs`: tables merge key by key, lists are put one behind
//! the other, except those that name a program; of other values the one that counts more stays.

use std::collections::BTreeMap;

use toml_edit::{DocumentMut, Item, Value as TomlValue};
use zeroize::Zeroizing;

use super::Error;
use super::origin::{Clash, Origin};

/// Lists that name a program, and are replaced as a whole; `*` is any key.
const PROGRAMS: [&[&str]; 3] = [
    &["credential-alias", "*"],
    &["registries", "*", "credential-provider"],
    &["registry", "credential-provider"],
];

#[derive(Clone)]
pub(super) struct Value {
    pub(super) kind: Kind,
    pub(super) origin: Origin,
}

/// There are tokens among the texts.
#[derive(Clone)]
pub(super) enum Kind {
    Text(Zeroizing<String>),
    Integer(i64),
    Boolean(bool),
    List(Vec<Value>),
    Table(BTreeMap<String, Value>),
}

impl Value {
    pub(super) fn table(origin: Origin) -> Self {
        Self { kind: Kind::Table(BTreeMap::new()), origin }
    }

    /// A document.
    pub(super) fn read(document: DocumentMut, origin: &Origin) -> Result<Self, Error> {
        let root = Item::Table(document.into_table()).into_value();
        root.map_or_else(|_| Ok(Self::table(origin.clone())), |root| Self::of(root, origin))
    }

    fn of(value: TomlValue, origin: &Origin) -> Result<Self, Error> {
        let kind = match value {
            TomlValue::String(text) => Kind::Text(Zeroizing::new(text.into_value())),
            TomlValue::Integer(number) => Kind::Integer(number.into_value()),
            TomlValue::Boolean(boolean) => Kind::Boolean(boolean.into_value()),
            TomlValue::Array(array) => {
                Kind::List(array.into_iter().map(|value| Self::of(value, origin)).collect::<Result<_, _>>()?)
            }
            TomlValue::InlineTable(table) => {
                let entries =
                    table.into_iter().map(|(key, value)| Ok((key.to_string(), Self::of(value, origin)?)));
                Kind::Table(entries.collect::<Result<_, Error>>()?)
            }
            TomlValue::Float(_) | TomlValue::Datetime(_) => {
                let key = "a number with a point, or a date".to_owned();
                return Err(Error::Shape {
                    key,
                    origin: origin.clone(),
                    wanted: "anything that cargo knows",
                });
            }
        };
        Ok(Self { kind, origin: origin.clone() })
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Kind::Text(text) = &self.kind { Some(text) } else { None }
    }

    pub(super) fn list(&self) -> Option<&[Self]> {
        if let Kind::List(list) = &self.kind { Some(list) } else { None }
    }

    pub(super) fn entries(&self) -> Option<&BTreeMap<String, Self>> {
        if let Kind::Table(table) = &self.kind { Some(table) } else { None }
    }

    /// The value at these keys.
    ///
    /// # Errors
    /// [`Error::Shape`] where the way leads through something that is no table.
    pub(super) fn at(&self, keys: &[&str]) -> Result<Option<&Self>, Error> {
        let mut found = self;
        for (depth, key) in keys.iter().enumerate() {
            let table = found.entries().ok_or_else(|| found.shape(&keys[..depth], "a table"))?;
            match table.get(*key) {
                Some(value) => found = value,
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    }

    pub(super) fn shape(&self, keys: &[&str], wanted: &'static str) -> Error {
        Error::Shape { key: keys.join("."), origin: self.origin.clone(), wanted }
    }

    /// Takes in what another place says: it counts more if it `wins`.
    pub(super) fn merge(&mut self, from: Self, wins: bool) -> Result<(), Clash> {
        self.merge_at(from, wins, &mut Vec::new())
    }

    fn merge_at(&mut self, from: Self, wins: bool, keys: &mut Vec<String>) -> Result<(), Clash> {
        let clash = |one: &Self, other: &Origin, keys: &[String]| {
            Err(Clash { key: keys.join("."), one: one.origin.clone(), other: other.clone() })
        };
        match (&mut self.kind, from.kind) {
            (Kind::List(old), Kind::List(mut new)) => {
                if names_a_program(keys) {
                    if wins {
                        *old = new;
                    }
                } else if wins {
                    old.append(&mut new);
                } else {
                    new.append(old);
                    *old = new;
                }
            }
            (Kind::Table(old), Kind::Table(new)) => {
                for (key, value) in new {
                    let Some(known) = old.get_mut(&key) else {
                        old.insert(key, value);
                        continue;
                    };
                    keys.push(key);
                    known.merge_at(value, wins, keys)?;
                    keys.pop();
                }
            }
            (Kind::List(_) | Kind::Table(_), _) | (_, Kind::List(_) | Kind::Table(_)) => {
                return clash(self, &from.origin, keys);
            }
            (_, new) if wins => *self = Self { kind: new, origin: from.origin },
            _ => {}
        }
        Ok(())
    }
}

/// The key of a list that is replaced as a whole.
pub(super) fn names_a_program<S: AsRef<str>>(keys: &[S]) -> bool {
    PROGRAMS.iter().any(|pattern| {
        let matches = |(one, key): (&&str, &S)| *one == "*" || *one == key.as_ref();
        pattern.len() == keys.len() && pattern.iter().zip(keys).all(matches)
    })
}

#[cfg(test)]
mod tests {
    use super::super::origin::Owner;
    use super::*;

    fn value(text: &str, path: &str) -> Value {
        let document = text.parse().unwrap();
        let origin = Origin::File { path: path.into(), owner: Owner::Home };
        Value::read(document, &origin).unwrap()
    }

    fn shown(value: &Value) -> String {
        match &value.kind {
            Kind::Text(text) => text.to_string(),
            Kind::Integer(number) => number.to_string(),
            Kind::Boolean(boolean) => boolean.to_string(),
            Kind::List(list) => list.iter().map(shown).collect::<Vec<_>>().join(" "),
            Kind::Table(_) => "{}".into(),
        }
    }

    #[test]
    fn merges_as_cargo_does() {
        let near = "registry = { global-credential-providers = ['near'], credential-provider = ['near'] }\n\
                    http.timeout = 1\nalias.x = ['near']\n";
        let far = near.replace("near", "far").replace('1', "2") + "net.retry = 3\n";
        for (wins, merged) in [
            (false, [("global-credential-providers", "far near"), ("credential-provider", "near")]),
            (true, [("global-credential-providers", "near far"), ("credential-provider", "far")]),
        ] {
            let mut all = value(near, "near");
            all.merge(value(&far, "far"), wins).unwrap();
            for (key, text) in merged {
                assert_eq!(shown(all.at(&["registry", key]).unwrap().unwrap()), text);
            }
            let timeout = all.at(&["http", "timeout"]).unwrap().unwrap();
            assert_eq!(shown(timeout), if wins { "2" } else { "1" });
            assert_eq!(timeout.origin.to_string(), if wins { "far" } else { "near" });
            assert_eq!(shown(all.at(&["net", "retry"]).unwrap().unwrap()), "3");
        }
    }

    #[test]
    fn what_cargo_cannot_merge() {
        let mut all = value("registries.a.credential-provider = 'x'", "one");
        let clash = all.merge(value("registries.a.credential-provider = ['x']", "other"), false).unwrap_err();
        assert_eq!(clash.key, "registries.a.credential-provider");
        assert_eq!((clash.one.to_string(), clash.other.to_string()), ("one".into(), "other".into()));
        assert!(matches!(all.at(&["registries", "a", "credential-provider", "x"]), Err(Error::Shape { .. })));
        assert!(matches!(Value::read("x = 1.5".parse().unwrap(), &all.origin), Err(Error::Shape { .. })));
    }
}
