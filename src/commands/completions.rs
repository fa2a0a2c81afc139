//! `completions`, and what its scripts ask this program for when somebody presses TAB.

use std::io::Write as _;

use clap::{Args, Command};
use clap_complete::CompleteEnv;
use clap_complete::env::Shells;

use crate::commands::print_raw;
use crate::error::Error;

/// By this variable a script says that it asks, and for which shell.
const VARIABLE: &str = "YK_CARGO_COMPLETE";
const PROGRAM: &str = "yk-cargo";

/// Bash breaks words at `=`, `:` and `@`, too. This joins them again for the question, and takes off the answers what stands before
/// the last break, because bash keeps that.
const BASH_WORDS: &str = r#"
_yk_cargo_words() {
    local line=$COMP_LINE words=() last=-1 piece i
    for ((i = 0; i <= COMP_CWORD; i++)); do
        piece=${COMP_WORDS[i]}
        if [[ $i == 0 || $line == [[:space:]]* ]]; then words[++last]=; fi
        line=${line#*"$piece"}
        if ((i < COMP_CWORD)); then words[last]+=$piece; fi
    done
    local before=${words[last]}
    if [[ $piece == *[=:@]"$2" ]]; then before+=${piece%"$2"}; fi
    words[last]=$before$2
    local COMP_WORDS=("${words[@]}") COMP_CWORD=$last
    _clap_complete_yk_cargo "$1" "$before$2" "$3"
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
}
"#;

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    pub shell: clap_complete::Shell,
}

/// Runs `yk-cargo completions`.
///
/// # Errors
/// [`Error::Stdio`].
pub fn run(arguments: &Completions) -> Result<(), Error> {
    let shell = arguments.shell.to_string();
    let mut script = Vec::new();
    if let Some(shell) = Shells::builtins().completer(&shell) {
        shell.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script).map_err(Error::Stdio)?;
    }
    if shell == "bash" {
        let own =
            String::from_utf8_lossy(&script).replace("-F _clap_complete_yk_cargo", "-F _yk_cargo_words");
        script = (own + BASH_WORDS.trim_start()).into_bytes();
    }
    if shell == "zsh" {
        // As a file in zsh's fpath it is the completing function itself, at its first call.
        script.extend_from_slice(b"[[ $funcstack[1] != _yk-cargo ]] || _clap_dynamic_completer_yk_cargo");
    }
    print_raw(String::from_utf8_lossy(&script).trim())
}

/// Answers a script that asks what could come next on the command line; false if none does.
pub fn answered(cli: impl Fn() -> Command) -> bool {
    let here = std::env::current_dir().ok();
    let completion = CompleteEnv::with_factory(cli).var(VARIABLE);
    // A shell that gets no answer offers nothing, and has no place for a message.
    let is_answered = completion.try_complete(std::env::args_os(), here.as_deref()).unwrap_or(true);
    // Nothing else does before the process leaves, and the last candidate ends no line.
    let _ = std::io::stdout().flush();
    is_answered
}
