//! Where the programs of the control plane are.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ALL: [&str; 5] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubectl",
];

/// A folder with etcd, the programs of Kubernetes, and kubectl.
pub(crate) struct Programs(PathBuf);

impl Programs {
    /// Those in `KUBEBUILDER_ASSETS` where that is set; otherwise our own, which are built where they are missing.
    pub(crate) fn find() -> Self {
        let folder = match std::env::var_os("KUBEBUILDER_ASSETS").filter(|folder| !folder.is_empty()) {
            Some(folder) => PathBuf::from(folder),
            None => build(),
        };
        let missing: Vec<&str> = ALL.into_iter().filter(|name| !folder.join(name).exists()).collect();
        assert!(
            missing.is_empty(),
            "{} (KUBEBUILDER_ASSETS) holds no {}; tests/cluster/controlplane/build makes a folder with all",
            folder.display(),
            missing.join(" and no ")
        );
        Self(folder)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

fn build() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/controlplane/build");
    let output = Command::new(&script)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    assert!(
        output.status.success(),
        "{} ended with {}",
        script.display(),
        output.status
    );
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end())
}
