//! `sga-unrepaired`: takes each repair of the paper's protocol out of a copy of this tree, and sees its attack succeed.

fn main() -> std::process::ExitCode {
    sga_tests::unrepaired::main()
}
