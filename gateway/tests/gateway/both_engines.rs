//! Which tests run with their stores in folders, and once more in PostgreSQL.

use std::process::Command;

/// See `cargo xtask test`.
const NOT_IN_POSTGRES: &str = include_str!("not_in_postgres.txt");

/// `--skip` leaves out whatever has a name in its own.
#[test]
fn the_list_names_tests_and_no_others() {
    let list = Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let tests: Vec<_> = list.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    let names = NOT_IN_POSTGRES.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let names: Vec<_> = names.collect();
    let is_named = |test: &str, name: &str| test == name || name.ends_with("::") && test.starts_with(name);
    for name in &names {
        assert!(tests.iter().any(|test| is_named(test, name)), "there is no test {name}");
    }
    for test in tests.iter().filter(|test| names.iter().any(|name| test.contains(name))) {
        assert!(names.iter().any(|name| is_named(test, name)), "{test} would be left out, too");
    }
}
