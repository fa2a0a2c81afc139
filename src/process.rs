//! Processes: the programs that we run, and our own end.

pub(crate) mod bounded;
pub(crate) mod child;
pub mod secret_program;

/// The words of a command that is run without a shell: it is split at blanks, except within double quotes, which are left out.
/// No other character has a meaning, so that a path of Windows is written as it is.
///
/// # Errors
/// [`UnclosedQuote`].
pub(crate) fn words(command: &str) -> Result<Vec<String>, UnclosedQuote> {
    let mut words = Vec::new();
    let (mut word, mut is_quoted) = (None, false);
    for character in command.chars() {
        match character {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_with(String::new);
            }
            blank if blank.is_whitespace() && !is_quoted => words.extend(word.take()),
            other => word.get_or_insert_with(String::new).push(other),
        }
    }
    words.extend(word);
    if is_quoted { Err(UnclosedQuote) } else { Ok(words) }
}

/// A double quote that no other one closes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnclosedQuote;

/// Ends the process at once, without the exit handlers of C libraries: libpcsclite's takes apart lists that a blocked
/// call in another thread still walks (seen as a segmentation fault after a good answer). Nothing of ours is buffered.
pub fn leave(status: i32) -> ! {
    #[cfg(unix)]
    signal_hook::low_level::exit(status);
    #[cfg(not(unix))]
    std::process::exit(status)
}

/// Sees to it that no PIN and no token ends up in a core file, and that no other process of the same user can read this one's
/// memory (Linux). If the system refuses, the program goes on without.
pub fn keep_memory_to_ourselves() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_at_blanks_outside_of_quotes() {
        for (command, split) in [
            ("", &[] as &[&str]),
            (" \t ", &[]),
            ("pass show  pin", &["pass", "show", "pin"]),
            (r#""C:\Program Files\pass.exe" pin"#, &[r"C:\Program Files\pass.exe", "pin"]),
            (r#"a --b="c d"e "" f"#, &["a", "--b=c de", "", "f"]),
            ("printf 'a b'", &["printf", "'a", "b'"]),
        ] {
            assert_eq!(words(command).unwrap(), split, "{command}");
        }
        assert_eq!(words(r#"a "b c" "d"#), Err(UnclosedQuote));
    }
}
