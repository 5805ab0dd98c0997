//! `cargo demo`: a gateway and two devices, each a process of its own, over real sockets.

fn main() -> std::process::ExitCode {
    sga_tests::demo::main()
}
