//! The `mock-card` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    mock_card::cli::run()
}
