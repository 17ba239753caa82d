//! Files and directories, also those of a mounted ConfigMap or Secret.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{SourceError, SourceText};

/// The texts of a policy that lies in `paths`, in their order. A directory stands for every `*.yaml` and `*.yml` in it, by name.
pub fn policy_files(paths: &[PathBuf]) -> Result<Vec<SourceText>, SourceError> {
    let mut texts = Vec::new();
    for path in paths {
        let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        if metadata.is_dir() {
            texts.extend(directory_texts(path)?);
        } else {
            texts.push(read_text(path)?);
        }
    }
    Ok(texts)
}

/// The texts of a directory, all of one version where it is a mounted ConfigMap: kubelet swaps the link `..data` from one
/// version to the next at any time, and takes the old one away.
fn directory_texts(directory: &Path) -> Result<Vec<SourceText>, SourceError> {
    const SWAPS: usize = 10;
    let link = directory.join("..data");
    let mut swaps = 0;
    loop {
        let version = fs::read_link(&link).ok();
        let texts = match &version {
            None => texts_in(directory, directory),
            Some(version) => texts_in(&directory.join(version), directory),
        };
        if fs::read_link(&link).ok() == version || swaps == SWAPS {
            return texts;
        }
        swaps += 1;
    }
}

/// The texts in a directory, called as if they lay in another one.
fn texts_in(directory: &Path, called: &Path) -> Result<Vec<SourceText>, SourceError> {
    let mut texts = Vec::new();
    for file in yaml_files(directory)? {
        let mut text = read_text(&file)?;
        if let Some(name) = file.file_name() {
            text.name = called.join(name).display().to_string();
        }
        texts.push(text);
    }
    Ok(texts)
}

/// The text of a file.
pub fn read_text(path: &Path) -> Result<SourceText, SourceError> {
    let bytes = read_bytes(path)?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(SourceText {
            name: path.display().to_string(),
            text,
        }),
        Err(error) => Err(SourceError::new(
            path,
            format!(
                "it is not UTF-8 (the byte at {} is wrong); save it as UTF-8",
                error.utf8_error().valid_up_to()
            ),
        )),
    }
}

/// The bytes of a file.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, SourceError> {
    fs::read(path).map_err(|error| unreadable(path, &error))
}

/// True for a name that ends in `.yaml` or `.yml`, of a file or of a ConfigMap's key.
pub fn is_yaml(name: impl AsRef<Path>) -> bool {
    let extension = name.as_ref().extension();
    extension.is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// The YAML files of a directory, by name. A mounted ConfigMap keeps its versions in entries that start with two dots (`..data`);
/// those and other hidden entries are skipped.
fn yaml_files(directory: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let entries = fs::read_dir(directory).map_err(|error| unreadable(directory, &error))?;
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(directory, &error))?;
        let path = entry.path();
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let yaml = is_yaml(&path);
        // Follows links: every file of a mounted ConfigMap is one.
        if !hidden && yaml && !path.is_dir() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(SourceError::new(
            directory,
            "the directory holds no *.yaml or *.yml file; put the policy there, or name a file",
        ));
    }
    files.sort();
    Ok(files)
}

fn unreadable(path: &Path, error: &io::Error) -> SourceError {
    let message = match error.kind() {
        io::ErrorKind::NotFound => {
            "there is no such file or directory; check the path, and in a cluster that the volume is mounted there"
                .to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "this user may not read it; check its mode and owner, and in a cluster the Pod's runAsUser and fsGroup"
                .to_owned()
        }
        io::ErrorKind::IsADirectory => "it is a directory, and a file is needed; name the file in it".to_owned(),
        io::ErrorKind::NotADirectory => "a part of the path is a file, not a directory; check the path".to_owned(),
        _ => error.to_string(),
    };
    SourceError::new(path, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[SourceText], directory: &Path) -> Vec<String> {
        texts
            .iter()
            .map(|text| text.name.replace(&format!("{}/", directory.display()), ""))
            .collect()
    }

    #[test]
    fn a_directory_is_its_yaml_files_by_name() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b.yml", "a.yaml", "10.yaml", "notes.txt", ".hidden.yaml"] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        fs::create_dir(directory.path().join("folder.yaml")).unwrap();
        let texts = policy_files(&[directory.path().to_owned()]).unwrap();
        assert_eq!(names(&texts, directory.path()), ["10.yaml", "a.yaml", "b.yml"]);
        assert_eq!(texts[1].text, "a.yaml");
    }

    #[cfg(unix)]
    #[test]
    fn a_mounted_config_map_is_read_once() {
        let directory = tempfile::tempdir().unwrap();
        let version = directory.path().join("..2026_11_23");
        fs::create_dir(&version).unwrap();
        fs::write(version.join("policy.yaml"), "rules: []").unwrap();
        std::os::unix::fs::symlink("..2026_11_23", directory.path().join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/policy.yaml", directory.path().join("policy.yaml")).unwrap();
        let texts = policy_files(&[directory.path().to_owned()]).unwrap();
        assert_eq!(names(&texts, directory.path()), ["policy.yaml"]);
        assert_eq!(texts[0].text, "rules: []");
    }

    #[test]
    fn errors_name_the_path_and_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let wrong = directory.path().join("latin1.yaml");
        fs::write(&wrong, b"name: caf\xe9").unwrap();
        let cases = [
            (directory.path().join("absent.yaml"), "check the path"),
            (wrong, "save it as UTF-8"),
        ];
        for (path, advice) in cases {
            let error = policy_files(std::slice::from_ref(&path)).unwrap_err().to_string();
            assert!(
                error.contains(&path.display().to_string()) && error.contains(advice),
                "{error}"
            );
        }
        let empty = tempfile::tempdir().unwrap();
        let error = policy_files(&[empty.path().to_owned()]).unwrap_err().to_string();
        assert!(error.contains("holds no *.yaml"), "{error}");
        let error = read_text(empty.path()).unwrap_err().to_string();
        assert!(error.contains("it is a directory"), "{error}");
    }
}
