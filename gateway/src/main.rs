//! `sga-gateway`.

fn main() -> std::process::ExitCode {
    sga_gateway::cli::main_from(std::env::args_os())
}
