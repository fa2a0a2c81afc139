//! Text that is broken between words where a terminal ends, and not within them, where the terminal would.
//!
//! What is to be copied stays whole: rows that begin with a blank, what stands in backticks, and a command at the end of a sentence.

/// How many columns a terminal has; `None` if it is none, or does not tell.
#[cfg(unix)]
pub(crate) fn columns(terminal: impl std::os::fd::AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(terminal).ok()?;
    (size.ws_col > 0).then_some(size.ws_col.into())
}

#[cfg(windows)]
pub(crate) fn columns(terminal: impl std::os::windows::io::AsHandle) -> Option<usize> {
    let (terminal_size::Width(columns), _) = terminal_size::terminal_size_of(terminal)?;
    Some(columns.into())
}

/// Breaks text for so many columns, `begun` of which something takes up in the first row. Rows that go on stand a little to the right,
/// or below the text of a first row that is a label with text beside it.
pub(crate) fn fitted(text: &str, begun: usize, columns: Option<usize>) -> String {
    const LEAST: usize = 30;
    const FURTHER: usize = 2;
    let Some(columns) = columns.filter(|columns| *columns >= LEAST) else { return text.to_owned() };
    let mut begun = begun;
    let rows = text.split('\n').map(|row| {
        let mut width = std::mem::take(&mut begun);
        if width + length(row) <= columns || width == 0 && row.starts_with(' ') {
            return row.to_owned();
        }
        let text = row.trim_start_matches(' ');
        let blanks = row.len() - text.len();
        width += blanks;
        let further = if blanks > 0 && width + LEAST <= columns { width } else { FURTHER };
        let mut fitted = " ".repeat(blanks);
        for (position, word) in words(text).into_iter().enumerate() {
            let is_first = position == 0;
            if !is_first && width + 1 + length(word) > columns {
                fitted.push('\n');
                fitted.push_str(&" ".repeat(further));
                width = further;
            } else if !is_first {
                fitted.push(' ');
                width += 1;
            }
            fitted.push_str(word);
            width += length(word);
        }
        fitted
    });
    rows.collect::<Vec<_>>().join("\n")
}

/// A character outside ASCII may have two columns.
fn length(text: &str) -> usize {
    text.chars().map(|character| if character.is_ascii() { 1 } else { 2 }).sum()
}

/// The words of a row, and what must not be broken.
fn words(row: &str) -> Vec<&str> {
    const PROGRAMS: [&str; 4] = [": yk-cargo ", ": ykman ", ": registry-gateway ", ": cargo "];
    let command = PROGRAMS.iter().filter_map(|program| row.rfind(program)).max().map(|colon| colon + 2);
    let (sentence, command) = row.split_at(command.unwrap_or(row.len()));
    let mut quoted = false;
    let mut words: Vec<_> = sentence
        .split(|character| {
            quoted ^= character == '`';
            character == ' ' && !quoted
        })
        .filter(|word| !word.is_empty())
        .collect();
    words.extend(Some(command).filter(|command| !command.is_empty()));
    words
}

#[cfg(test)]
mod tests {
    use super::fitted;

    #[test]
    fn rows_end_between_words() {
        let text = "cannot ask the registry what it requires: it gave no answer";
        assert_eq!(
            fitted(text, 9, Some(40)),
            "cannot ask the registry what it\n  requires: it gave no answer"
        );
        assert_eq!(fitted(text, 0, None), text);
        assert_eq!(fitted("short\n", 0, Some(40)), "short\n");
    }

    #[test]
    fn text_beside_a_label_stays_beside_it() {
        let text = "      PIN: YubiKey 12345678 has 3 tries left";
        assert_eq!(fitted(text, 2, Some(40)), "      PIN: YubiKey 12345678 has 3\n        tries left");
        assert_eq!(fitted(text, 2, Some(35)), "      PIN: YubiKey 12345678 has 3\n  tries left");
    }

    #[test]
    fn what_is_to_be_copied_stays_whole() {
        let command = "run this in the folder: yk-cargo enroll my-reg --backup --endorse-with 12345678";
        assert_eq!(
            fitted(command, 0, Some(40)),
            "run this in the folder:\n  yk-cargo enroll my-reg --backup --endorse-with 12345678"
        );
        let quoted = "have them back with `yk-cargo enroll my-reg --existing` in that folder";
        assert_eq!(
            fitted(quoted, 0, Some(40)),
            "have them back with\n  `yk-cargo enroll my-reg --existing` in\n  that folder"
        );
        let row = "      registry-gateway key add --user <NAME> --role read k3.public";
        assert_eq!(fitted(row, 0, Some(40)), row);
    }
}
