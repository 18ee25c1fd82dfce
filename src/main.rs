//! The `todoctl` executable. Everything happens in the library.

fn main() -> std::process::ExitCode {
    todoctl::cli::main()
}
