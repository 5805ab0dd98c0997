//! `sga-load`: what a gateway bears, measured over real sockets and a real disk.

fn main() -> std::process::ExitCode {
    sga_tests::load::main()
}
