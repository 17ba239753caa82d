//! kubectl, where what a person sees is what matters.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{ADMIN, Cluster};

/// What kubectl printed.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) fine: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// What it printed; panics where it failed.
    #[track_caller]
    pub(crate) fn success(self) -> String {
        assert!(self.fine, "kubectl: {}", self.stderr);
        self.stdout
    }

    /// What it complained about; panics where it did not fail.
    #[track_caller]
    pub(crate) fn failure(self) -> String {
        assert!(!self.fine, "kubectl did not fail: {}", self.stdout);
        self.stderr
    }
}

impl Cluster {
    /// kubectl as the administrator.
    pub(crate) fn kubectl<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Output {
        self.kubectl_with(arguments, "")
    }

    /// The same with something on its standard input, for `-f -`.
    pub(crate) fn kubectl_with<A: AsRef<OsStr>>(&self, arguments: &[A], input: &str) -> Output {
        let kubeconfig = self.directory().join(format!("{ADMIN}.kubeconfig"));
        self.kubectl_as(&kubeconfig, arguments, input)
    }

    /// kubectl as whoever a kubeconfig says.
    pub(crate) fn kubectl_as<A: AsRef<OsStr>>(&self, kubeconfig: &Path, arguments: &[A], input: &str) -> Output {
        let mut kubectl = Command::new(self.programs.path("kubectl"));
        kubectl.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
        self.output(kubectl, kubeconfig, input)
    }

    /// Changes a MutatingWebhookConfiguration by the operations of a JSON Patch.
    pub(crate) fn patch_registration(&self, name: &str, operations: &Value) {
        let operations = operations.to_string();
        let patch = [
            "patch",
            "mutatingwebhookconfiguration",
            name,
            "--type=json",
            "-p",
            &operations,
        ];
        self.kubectl(&patch).success();
    }

    /// label-router as the administrator runs it.
    pub(crate) fn label_router(&self, arguments: &[&str]) -> Output {
        let mut label_router = Command::new(env!("CARGO_BIN_EXE_label-router"));
        label_router.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
        self.output(label_router, &self.directory().join(format!("{ADMIN}.kubeconfig")), "")
    }

    /// The commands of a document, as the administrator types them; the first that fails ends them.
    pub(crate) fn shell(&self, commands: &str, directory: &Path) -> Output {
        let mut shell = Command::new("sh");
        shell.args(["-euc", commands]).current_dir(directory);
        self.output(shell, &self.directory().join(format!("{ADMIN}.kubeconfig")), "")
    }

    fn output(&self, mut command: Command, kubeconfig: &Path, input: &str) -> Output {
        let mut path = self.programs.folder().as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut child = command
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.directory())
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may end without having read it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Output {
            fine: output.status.success(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
