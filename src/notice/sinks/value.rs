//! A setting that may be secret: written out, or named by an environment variable or a file. It never prints.

use std::borrow::Cow;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::engine::problem::Problem;

/// A setting that stands in the policy, an environment variable or a file. Its `Debug` hides what stands in the policy.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Value<T> {
    /// Written in the policy.
    Literal(T),
    /// The name of an environment variable of the server.
    Env(String),
    /// The path of a file on the server; a line break at its end does not count.
    File(String),
}

impl<T> fmt::Debug for Value<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => formatter.write_str("<secret>"),
            Self::Env(name) => write!(formatter, "env {name}"),
            Self::File(path) => write!(formatter, "file {path}"),
        }
    }
}

/// An http or https URL, which holds the token of most chat robots.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url(pub(crate) String);

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        // The text is a secret, so that the message cannot repeat it.
        match rest {
            Some(rest) if !rest.is_empty() && !text.contains(char::is_whitespace) => Ok(Self(text)),
            _ => Err(Problem::new(
                "bad-url",
                "this is no http or https URL",
                "write the whole URL, or {env: NAME} or {file: PATH}",
            )
            .into_error()),
        }
    }
}

impl JsonSchema for Url {
    fn schema_name() -> Cow<'static, str> {
        "Url".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^https?://." })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Value<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrPlace<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> de::Visitor<'de> for TextOrPlace<T> {
            type Value = Value<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string, {env: NAME} or {file: PATH}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Value<T>, E> {
                T::deserialize(de::value::StrDeserializer::new(text)).map(Value::Literal)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Value<T>, A::Error> {
                let Place { env, file } = Place::deserialize(de::value::MapAccessDeserializer::new(map))?;
                match (env, file) {
                    (Some(Variable(name)), None) => Ok(Value::Env(name)),
                    (None, Some(FilePath(path))) => Ok(Value::File(path)),
                    _ => Err(
                        Problem::new("two-choices", "exactly one of `env` and `file`", "keep one of them").into_error(),
                    ),
                }
            }
        }
        deserializer.deserialize_any(TextOrPlace(std::marker::PhantomData))
    }
}

/// Where Kubernetes mounts the token of a Pod's ServiceAccount; /var/run is mostly a link to /run.
///
/// Source: kubernetes.io, "Configure Service Accounts for Pods".
const SERVICE_ACCOUNT: [&str; 2] = ["/var/run/secrets/kubernetes.io", "/run/secrets/kubernetes.io"];

/// True for the files of the Pod's ServiceAccount: whoever may write a policy could have them sent anywhere. It goes by the
/// path alone, so that whoever reads a file asks again without its links.
pub fn is_of_the_service_account(path: &Path) -> bool {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    SERVICE_ACCOUNT.iter().any(|directory| plain.starts_with(directory))
}

/// Where a value stands that is not in the policy.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Place {
    /// The name of an environment variable of the server.
    #[schemars(with = "Option<String>")]
    env: Option<Variable>,
    /// The path of a file on the server.
    #[schemars(with = "Option<String>")]
    file: Option<FilePath>,
}

/// A text that is the name of an environment variable.
struct Variable(String);

/// A text that may be the path of a file.
struct FilePath(String);

// What is no name or path may be the secret itself, so that the messages cannot repeat it.
impl<'de> Deserialize<'de> for Variable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if fits && !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit()) {
            return Ok(Self(name));
        }
        Err(Problem::new(
            "bad-place",
            "this is no name of an environment variable",
            "write the name alone, of letters, digits and _, such as SLACK_WEBHOOK_URL",
        )
        .into_error())
    }
}

impl<'de> Deserialize<'de> for FilePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = String::deserialize(deserializer)?;
        if is_of_the_service_account(Path::new(&path)) {
            return Err(Problem::new(
                "bad-place",
                "this file is of label-router's ServiceAccount, and its token goes to no sink",
                "name a file of the sink's own, such as /etc/label-router/secrets/slack-url",
            )
            .into_error());
        }
        if !path.is_empty() && !path.contains("://") {
            return Ok(Self(path));
        }
        Err(Problem::new(
            "bad-place",
            "this is no path of a file",
            "write the path alone, such as /etc/label-router/secrets/slack-url",
        )
        .into_error())
    }
}

impl<T: JsonSchema> JsonSchema for Value<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}Value", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let literal = generator.subschema_for::<T>();
        let place = generator.subschema_for::<Place>();
        json_schema!({ "anyOf": [literal, place] })
    }
}
