//! Scripts for shells, and what they ask this program for when somebody presses TAB.

use std::io::{self, Write as _};

use clap::Command;
use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, Shell};

/// By this variable a script says that it asks, and for which shell.
const VARIABLE: &str = "REGISTRY_GATEWAY_COMPLETE";
const PROGRAM: &str = "registry-gateway";

/// Bash breaks words at `=`, `:` and `@`, too. This joins them again for the question, and takes off the answers what stands before
/// the last break, because bash keeps that.
const BASH_WORDS: &str = r#"
_registry_gateway_words() {
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
    _clap_complete_registry_gateway "$1" "$before$2" "$3"
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
}
"#;

/// Prints the script for a shell.
pub(crate) fn print(shell: Shell) -> io::Result<()> {
    let shell = shell.to_string();
    let mut script = Vec::new();
    if let Some(shell) = Shells::builtins().completer(&shell) {
        shell.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)?;
    }
    if shell == "bash" {
        let own = String::from_utf8_lossy(&script)
            .replace("-F _clap_complete_registry_gateway", "-F _registry_gateway_words");
        script = (own + BASH_WORDS.trim_start()).into_bytes();
    }
    if shell == "zsh" {
        // As a file in zsh's fpath it is the completing function itself, at its first call.
        script.extend_from_slice(
            b"[[ $funcstack[1] != _registry-gateway ]] || _clap_dynamic_completer_registry_gateway\n",
        );
    }
    match io::stdout().write_all(&script) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Answers a script that asks what could come next on the command line; false if none does.
pub(crate) fn answered(command: impl Fn() -> Command) -> bool {
    let here = std::env::current_dir().ok();
    let completion = CompleteEnv::with_factory(command).var(VARIABLE);
    // A shell that gets no answer offers nothing, and has no place for a message.
    completion.try_complete(std::env::args_os(), here.as_deref()).unwrap_or(true)
}
