//! `sga-interop [FILTER]`: every case against every stranger, and a table of what came out.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's report")]

use std::process::ExitCode;

use sga_interop::{cases, runner, testbed, venv};

const HELP: &str = "sga-interop [FILTER]   runs the cases whose name, peer or own side contains FILTER; all without one
sga-interop --list     names them

Peers: libcoap's coap-client-notls and coap-server-notls (Debian package libcoap3-bin), aiocoap (in a virtual environment
under the build folder, or in the Python that SGA_INTEROP_PYTHON names), tshark.";

fn main() -> ExitCode {
    let mut args: Vec<_> = std::env::args_os().skip(1).collect();
    let first = args.first().and_then(|first| first.to_str()).unwrap_or_default().to_owned();
    match first.as_str() {
        "__gateway" => {
            args[0] = "sga-gateway".into();
            return sga_gateway::cli::main_from(args);
        }
        "__device" => {
            args[0] = "sga-device".into();
            return sga_device::cli::main_from(args);
        }
        "__testbed" => return testbed::main(),
        "--help" | "-h" => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        "--list" => {
            cases::all().iter().for_each(|case| println!("{:<46} {:<22} {}", case.name, case.peer, case.ours));
            return ExitCode::SUCCESS;
        }
        option if option.starts_with('-') => {
            eprintln!("{option}: no such option\n{HELP}");
            return ExitCode::from(2);
        }
        _ => {}
    }
    match venv::python() {
        Ok(python) if runner::run(&cases::all(), &first, &python) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("no Python for the peers: {why}");
            ExitCode::FAILURE
        }
    }
}
