//! The gateway or the device, as the first argument says: so that this crate's checks have both programs beside them.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut rest: Vec<_> = std::env::args_os().skip(1).collect();
    match rest.first().and_then(|first| first.to_str()) {
        Some("gateway") => {
            rest[0] = "sga-gateway".into();
            sga_gateway::cli::main_from(rest)
        }
        Some("device") => {
            rest[0] = "sga-device".into();
            sga_device::cli::main_from(rest)
        }
        _ => ExitCode::from(2),
    }
}
