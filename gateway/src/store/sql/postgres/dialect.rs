//! Statements as PostgreSQL takes them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Statements that were translated before.
#[derive(Debug, Default)]
pub(super) struct Translations(Mutex<HashMap<String, Arc<str>>>);

impl Translations {
    pub(super) fn of(&self, sql: &str) -> Arc<str> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(translated) = known.get(sql) {
            return translated.clone();
        }
        let new: Arc<str> = translated(sql).into();
        known.insert(sql.to_owned(), new.clone());
        new
    }
}

/// The name of a table and of columns here, and of a function there: it stands in quotation marks there.
const USER: &str = "user";

/// Numbers the parameters as SQLite does: `?1` is `$1`, and a `?` is the one after the highest before it.
fn translated(sql: &str) -> String {
    let (mut translated, mut highest) = (String::with_capacity(sql.len() + 16), 0);
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => rest[1..].find(first).map_or(rest.len(), |end| end + 2),
            '?' => 1 + while_in(&rest[1..], |c| c.is_ascii_digit()),
            _ if is_of_word(first) => while_in(rest, is_of_word),
            _ => first.len_utf8(),
        };
        let (part, after) = rest.split_at(length);
        match part.strip_prefix('?') {
            Some(number) => {
                let number = number.parse().unwrap_or(highest + 1);
                highest = highest.max(number);
                translated.push_str(&format!("${number}"));
            }
            None if part == USER => translated.push_str("\"user\""),
            None => translated.push_str(part),
        }
        rest = after;
    }
    translated
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of what begins a text, in bytes.
fn while_in(text: &str, is_in: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is_in(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::translated;

    #[test]
    fn parameters_and_the_table_of_users_are_spelt_as_postgresql_has_them() {
        for (sql, wanted) in [
            ("SELECT 1", "SELECT 1"),
            ("a = ? AND b = ?", "a = $1 AND b = $2"),
            ("?2, ?1, ?", "$2, $1, $3"),
            ("?12", "$12"),
            ("'?' || ? || 'user''?'", "'?' || $1 || 'user''?'"),
            ("user.id = key.user", "\"user\".id = key.\"user\""),
            ("single_user, users, user", "single_user, users, \"user\""),
            ("\"user\" ?", "\"user\" $1"),
            ("'open", "'open"),
        ] {
            assert_eq!(translated(sql), wanted, "{sql}");
        }
    }
}
