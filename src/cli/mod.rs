//! The command line: a file for each command, and a line for it in the list below.

mod certs;
mod check;
mod completions;
mod doctor;
mod eval;
mod exit;
mod man;
mod manifests;
mod notify_test;
mod output;
mod schema;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

pub use exit::Exit;

/// Makes the enum of commands. Each is a struct of arguments with `fn run(self) -> anyhow::Result<Exit>`; its documentation
/// is its help.
macro_rules! commands {
    ($($name:ident => $arguments:ty,)+) => {
        #[derive(Debug, Subcommand)]
        enum Command {
            $($name($arguments),)+
        }

        impl Command {
            fn run(self) -> anyhow::Result<Exit> {
                match self {
                    $(Self::$name(arguments) => arguments.run(),)+
                }
            }
        }
    };
}

commands! {
    Serve => serve::Serve,
    Check => check::Check,
    Eval => eval::Eval,
    Manifests => manifests::Manifests,
    NotifyTest => notify_test::NotifyTest,
    Certs => certs::Certs,
    Doctor => doctor::Doctor,
    Schema => schema::Schema,
    Completions => completions::Completions,
    Man => man::Man,
}

/// A Kubernetes mutating admission webhook that gives each replica of a workload its own placement, from one YAML file.
///
/// Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "label-router", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    otherwise: Otherwise,
}

/// What may stand where no command does.
#[derive(Debug, Args)]
struct Otherwise {
    /// Check policies instead of serving them, as the command check does
    #[arg(long, value_name = "FILE", num_args = 1.., exclusive = true)]
    check_config: Vec<PathBuf>,
    #[command(flatten)]
    serve: serve::Serve,
}

/// Runs what the command line says.
pub fn main() -> ExitCode {
    // Prints help and what is wrong with the arguments itself, and ends with 0 or 2.
    let cli = Cli::parse();
    let done = match cli.command {
        Some(command) => command.run(),
        None if cli.otherwise.check_config.is_empty() => cli.otherwise.serve.run(),
        None => check::Check::of(cli.otherwise.check_config).run(),
    };
    let exit = done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        Exit::CouldNotRun
    });
    exit.into()
}

/// The whole command line, for shell completions and manual pages.
fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn serve_is_what_no_command_means() {
        let cli = Cli::try_parse_from(["label-router", "--policy", "a.yaml", "--policy", "b"]).unwrap();
        assert!(cli.command.is_none());
        let cli = Cli::try_parse_from(["label-router", "serve", "--policy", "a.yaml"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Serve(_))));
        let cli = Cli::try_parse_from(["label-router", "--check-config", "a.yaml", "b.yaml"]).unwrap();
        assert_eq!(cli.otherwise.check_config.len(), 2);
        assert!(Cli::try_parse_from(["label-router", "--check-config", "a.yaml", "--listen", "x"]).is_err());
    }
}
