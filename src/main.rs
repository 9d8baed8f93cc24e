//! Arguments to options to a running server.

use std::process::ExitCode;

use weft::cli::{self, Command};
use weft::runtime::{bundle, disk, process, server};

fn main() -> ExitCode {
    match cli::parse(std::env::args_os().skip(1)) {
        Ok(Command::Run { options, flags }) => server::run(*options, &flags),
        Ok(Command::Signal { signal, target }) => match process::send(signal, target) {
            Ok(()) => ExitCode::SUCCESS,
            Err(text) => fail(&text),
        },
        Ok(Command::DiskCheck { directory }) => match disk::check(&directory) {
            Ok(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Err(text) => fail(&format!("nats-server: {text}")),
        },
        Ok(Command::DebugBundle { options, config, output }) => {
            match bundle::make(&options, &config, &output) {
                Ok(text) => {
                    print!("{text}");
                    ExitCode::SUCCESS
                }
                Err(text) => fail(&format!("nats-server: {text}")),
            }
        }
        Ok(command @ Command::CheckConfig { .. }) => {
            eprintln!("{}", command.output().unwrap_or_default());
            ExitCode::SUCCESS
        }
        Ok(command @ Command::Print(_)) => {
            println!("{}", command.output().unwrap_or_default());
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error.printed()),
    }
}

fn fail(text: &str) -> ExitCode {
    eprintln!("{text}");
    ExitCode::FAILURE
}
