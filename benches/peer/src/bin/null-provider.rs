//! What cargo's protocol costs by itself: a process that reads one request and answers with a constant.

use std::io::{Write as _, stdin, stdout};

fn main() -> std::io::Result<()> {
    stdout().write_all(b"{\"v\":[1]}\n")?;
    stdin().read_line(&mut String::new())?;
    let answer = r#"{"Ok":{"kind":"get","token":"x","cache":"never","operation_independent":false}}"#;
    writeln!(stdout(), "{answer}")
}
