//! `sga-device`.

fn main() -> std::process::ExitCode {
    sga_device::cli::main_from(std::env::args_os())
}
