//! A program that never outlives the tests.
//!
//! Each one is started by a shell that holds the reading end of a pipe. Whatever ends the tests (the last test, a panic,
//! Ctrl-C, SIGKILL) closes the writing end, and the shell then kills the program. Only the kernel has to work.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Each line that it reads is the name of a signal for the program, and the end of them means SIGKILL. It ends with the
/// program, and with its status. Nobody is left behind for PID 1, which in a container may never ask after the dead.
pub(crate) const GUARDIAN: &str = r#"
exec 3<&0
"$@" < /dev/null 3<&- &
program=$!
{
    while read -r signal <&3; do kill -s "$signal" "$program"; done
    kill -s KILL "$program"
} 2> /dev/null &
reader=$!
wait "$program"
status=$?
kill -s KILL "$reader" 2> /dev/null
wait "$reader" 2> /dev/null
exit "$status"
"#;

/// How long a program has to stop when it is asked to.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running program with its log.
pub(crate) struct Process {
    name: String,
    guardian: Child,
    orders: Option<ChildStdin>,
    log: PathBuf,
}

impl Process {
    /// Starts a program; both its outputs are appended to the file `log`.
    pub(crate) fn start(name: &str, program: &Path, arguments: &[String], env: &[(&str, String)], log: &Path) -> Self {
        let file: File = OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut guardian = Command::new("sh")
            .args(["-c", GUARDIAN, "guardian"])
            .arg(program)
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            // Ctrl-C is for the tests alone; the end of the pipe is for these.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let orders = guardian.stdin.take();
        Self {
            name: name.to_owned(),
            guardian,
            orders,
            log: log.to_owned(),
        }
    }

    /// All that it has printed.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.guardian.try_wait().unwrap()
    }

    /// Panics with the end of its log where it runs no more.
    pub(crate) fn must_run(&mut self) {
        if let Some(status) = self.ended() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(15)..].join("\n");
            panic!("{} ended with {status}; its log ends in\n{tail}", self.name);
        }
    }

    /// The CPU time that the program has taken so far, in the kernel's hundredths of a second.
    pub(crate) fn cpu(&self) -> Duration {
        let guardian = self.guardian.id();
        let children = fs::read_to_string(format!("/proc/{guardian}/task/{guardian}/children")).unwrap();
        let ticks = children.split_whitespace().map(|child| {
            // It may have ended.
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            // The name in parentheses may hold blanks; user and system time are the 14th and 15th word of all.
            let words = stat.rsplit_once(") ").map_or("", |(_, words)| words).split(' ');
            words
                .skip(11)
                .take(2)
                .filter_map(|word| word.parse::<u64>().ok())
                .sum::<u64>()
        });
        Duration::from_millis(10 * ticks.sum::<u64>())
    }

    pub(crate) fn signal(&mut self, signal: &str) {
        if let Some(orders) = &mut self.orders {
            // It may have ended already.
            let _ = writeln!(orders, "{signal}");
        }
    }

    /// Asks it to stop and waits until it has; one that does not is killed.
    pub(crate) fn stop(mut self) -> Option<ExitStatus> {
        self.signal("TERM");
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.guardian.wait();
    }
}
