//! `sga-timing`: whether time tells what it must not.

fn main() -> std::process::ExitCode {
    sga_tests::timing::main()
}
