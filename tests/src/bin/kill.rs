//! `sga-kill`: kills a gateway under load, again and again, and counts what is lost.

fn main() -> std::process::ExitCode {
    sga_tests::kill::main()
}
