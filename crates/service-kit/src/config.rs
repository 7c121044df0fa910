//! Configuration in layers: defaults, then the file, then the environment, then flags; later ones win.
//!
//! A configuration is a struct with `#[derive(Serialize, Deserialize)]` and `#[serde(default, deny_unknown_fields)]`: its
//! `Default` is the first layer, and a key that nothing reads is an error instead of a surprise.

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::{Table, Value};

use crate::error::Error;

/// One TOML file.
#[derive(Debug, Clone, Copy)]
pub struct ConfigFile;

impl ConfigFile {
    /// Reads a file as a `T`.
    ///
    /// # Errors
    /// [`Error::ConfigUnreadable`], or [`Error::ConfigInvalid`] with file, line, column and key.
    pub fn load<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<T, Error> {
        let path = path.as_ref();
        Self::parse(&path.display().to_string(), &read(path)?)
    }

    /// Reads a text as a `T`; `origin` names the text in errors.
    ///
    /// # Errors
    /// [`Error::ConfigInvalid`] with line, column and key.
    pub fn parse<T: DeserializeOwned>(origin: &str, text: &str) -> Result<T, Error> {
        let document = toml::Deserializer::parse(text).map_err(|error| at(origin, text, "", &error))?;
        serde_path_to_error::deserialize(document).map_err(|error| {
            let key = error.path().to_string();
            at(origin, text, if key == "." { "" } else { &key }, error.inner())
        })
    }
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::ConfigUnreadable { path: path.to_owned(), source })
}

fn at(origin: &str, text: &str, key: &str, error: &toml::de::Error) -> Error {
    let place = error.span().and_then(|span| text.get(..span.start)).map(|before| {
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    });
    Error::ConfigInvalid {
        origin: origin.to_owned(),
        line: place.map(|(line, _)| line),
        column: place.map(|(_, column)| column),
        key: key.to_owned(),
        message: error.message().to_owned(),
    }
}

/// Builds a `T` out of its layers; each call overrides what earlier calls set.
#[derive(Debug)]
pub struct Layers<T> {
    table: Table,
    of: PhantomData<T>,
}

impl<T: Default + Serialize + DeserializeOwned> Layers<T> {
    /// The defaults alone: `T::default()`.
    #[must_use]
    pub fn new() -> Self {
        Self { table: Table::new(), of: PhantomData }
    }

    /// Adds a file.
    ///
    /// # Errors
    /// As [`ConfigFile::load`].
    pub fn file(mut self, path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = read(path)?;
        // Read as T first: only here is it known which line a mistake is on.
        ConfigFile::parse::<T>(&path.display().to_string(), &text)?;
        let table = ConfigFile::parse::<Table>(&path.display().to_string(), &text)?;
        merge(&mut self.table, table);
        Ok(self)
    }

    /// Adds variables such as `MILLRACE_HTTP_LISTEN` for the key `http.listen` (prefix `MILLRACE`). Lists are separated
    /// by commas. Only keys that the defaults print can be set this way, so optional keys without a default belong to the
    /// flags; variables that fit no key are left alone, since platforms inject their own.
    ///
    /// # Errors
    /// [`Error::ConfigInvalid`] for a value that does not fit its key.
    pub fn environment(
        mut self,
        prefix: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Error> {
        let defaults = Table::try_from(T::default()).map_err(Error::ConfigUnprintable)?;
        let mut known = Vec::new();
        leaves(&defaults, "", &mut known);
        for (name, text) in variables {
            let Some(suffix) = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')) else {
                continue;
            };
            let found = known.iter().find(|(key, _)| key.replace('.', "_").eq_ignore_ascii_case(suffix));
            if let Some((key, default)) = found {
                self = self.set(key, parse_like(default, &text));
                self.check(&format!("environment variable {name}"), key)?;
            }
        }
        Ok(self)
    }

    /// Sets one dotted key; for flags.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        let mut table = &mut self.table;
        let mut parts = key.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                table.insert(part.to_owned(), value.into());
                return self;
            }
            let entry = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
            if !entry.is_table() {
                *entry = Value::Table(Table::new());
            }
            let Value::Table(inner) = entry else { return self };
            table = inner;
        }
        self
    }

    /// Sets one dotted key if the flag was given.
    #[must_use]
    pub fn set_some(self, key: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.set(key, value),
            None => self,
        }
    }

    /// The configuration.
    ///
    /// # Errors
    /// [`Error::ConfigInvalid`] for a flag whose value does not fit its key.
    pub fn build(self) -> Result<T, Error> {
        self.check("flags", "")
    }

    fn check(&self, origin: &str, key: &str) -> Result<T, Error> {
        serde_path_to_error::deserialize(self.table.clone()).map_err(|error| Error::ConfigInvalid {
            origin: origin.to_owned(),
            line: None,
            column: None,
            key: if key.is_empty() { error.path().to_string() } else { key.to_owned() },
            message: error.inner().message().to_owned(),
        })
    }
}

impl<T: Default + Serialize + DeserializeOwned> Default for Layers<T> {
    fn default() -> Self {
        Self::new()
    }
}

fn merge(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

fn leaves(table: &Table, path: &str, found: &mut Vec<(String, Value)>) {
    for (key, value) in table {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match value {
            Value::Table(inner) => leaves(inner, &path, found),
            value => found.push((path, value.clone())),
        }
    }
}

/// The text as the kind of value that the default has; what does not parse stays text, for the type to judge.
fn parse_like(default: &Value, text: &str) -> Value {
    let parsed = match default {
        Value::Integer(_) => text.parse().map(Value::Integer).ok(),
        Value::Float(_) => text.parse().map(Value::Float).ok(),
        Value::Boolean(_) => text.parse().map(Value::Boolean).ok(),
        Value::Array(_) => Some(Value::Array(
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(Value::from).collect(),
        )),
        _ => None,
    };
    parsed.unwrap_or_else(|| Value::from(text))
}

/// Prints a configuration as TOML, for `--dump-config`. Secrets print as `***`.
///
/// # Errors
/// [`Error::ConfigUnprintable`] if `T` has no TOML form (a map with keys that are not text).
pub fn dump_config<T: Serialize>(config: &T) -> Result<String, Error> {
    toml::to_string_pretty(config).map_err(Error::ConfigUnprintable)
}

/// A value that Debug, Display and Serialize show as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Hides a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for the one place that needs it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T> Serialize for Secret<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The inner error may quote the value ("invalid type: string "hunter2""), so it is replaced.
        T::deserialize(deserializer).map(Self).map_err(|_| D::Error::custom("not a valid value for a secret"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{ByteSize, Millis};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        namespace: String,
        import_principals: Vec<String>,
        http: Http,
        token: Option<Secret<String>>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Http {
        listen: String,
        body_bytes_max: ByteSize,
        timeout_ms: Millis,
    }

    impl Default for Config {
        fn default() -> Self {
            Self {
                namespace: "millrace".into(),
                import_principals: vec!["importer".into()],
                http: Http::default(),
                token: None,
            }
        }
    }

    impl Default for Http {
        fn default() -> Self {
            Self {
                listen: "127.0.0.1:8080".into(),
                body_bytes_max: ByteSize::mebibytes(1),
                timeout_ms: Millis::new(500),
            }
        }
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn variables<const N: usize>(of: [(&str, &str); N]) -> Vec<(String, String)> {
        of.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    #[test]
    fn an_unknown_key_is_refused_with_file_line_and_name() {
        let file = file("namespace = \"shop\"\n\n[http]\nlisten = \"[::1]:1\"\n  timeout_sm = 3\n");
        let error = ConfigFile::load::<Config>(file.path()).unwrap_err();
        let Error::ConfigInvalid { origin, line, column, key, message } = &error else { panic!("{error}") };
        assert_eq!(*origin, file.path().display().to_string());
        assert_eq!((*line, *column), (Some(5), Some(3)));
        assert_eq!(key, "http.timeout_sm");
        assert!(message.contains("unknown field `timeout_sm`"), "{message}");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused_with_its_key() {
        let error =
            ConfigFile::parse::<Config>("millrace.toml", "[http]\ntimeout_ms = \"soon\"").unwrap_err();
        assert!(
            error.to_string().starts_with("millrace.toml:2:14: key `http.timeout_ms`: invalid type"),
            "{error}"
        );
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        let error =
            ConfigFile::parse::<Config>("millrace.toml", "namespace = \"a\"\nhttp = = 3").unwrap_err();
        assert!(error.to_string().starts_with("millrace.toml:2:"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = ConfigFile::load::<Config>("/nonexistent/millrace.toml").unwrap_err();
        assert_eq!(error.to_string(), "cannot read the configuration file /nonexistent/millrace.toml");
    }

    #[test]
    fn later_layers_win() {
        let file = file("namespace = \"file\"\n[http]\nlisten = \"file:1\"\nbody_bytes_max = \"2 MiB\"");
        let config = Layers::<Config>::new()
            .file(file.path())
            .unwrap()
            .environment(
                "MILLRACE",
                variables([
                    ("MILLRACE_HTTP_LISTEN", "environment:1"),
                    ("MILLRACE_HTTP_TIMEOUT_MS", "7"),
                    ("MILLRACE_IMPORT_PRINCIPALS", "importer, backfill"),
                    ("MILLRACE_SERVICE_HOST", "10.0.0.1"),
                ]),
            )
            .unwrap()
            .set("http.timeout_ms", 9)
            .set_some("namespace", None::<String>)
            .build()
            .unwrap();
        assert_eq!(
            config,
            Config {
                namespace: "file".into(),
                import_principals: vec!["importer".into(), "backfill".into()],
                http: Http {
                    listen: "environment:1".into(),
                    body_bytes_max: ByteSize::mebibytes(2),
                    timeout_ms: Millis::new(9),
                },
                token: None,
            }
        );
    }

    #[test]
    fn a_bad_variable_is_named() {
        let error = Layers::<Config>::new()
            .environment("MILLRACE", variables([("MILLRACE_HTTP_TIMEOUT_MS", "soon")]))
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("environment variable MILLRACE_HTTP_TIMEOUT_MS: key `http.timeout_ms`"),
            "{text}"
        );
    }

    #[test]
    fn an_unknown_flag_key_is_refused() {
        let error = Layers::<Config>::new().set("http.lisen", "x").build().unwrap_err();
        assert!(error.to_string().starts_with("flags: key `http.lisen`: unknown field"), "{error}");
    }

    #[test]
    fn secrets_never_print() {
        let config = Config { token: Some(Secret::new("hunter2".into())), ..Config::default() };
        let printed = format!(
            "{config:?} {} {} {}",
            config.token.as_ref().unwrap(),
            dump_config(&config).unwrap(),
            serde_json::to_string(&config).unwrap()
        );
        assert!(!printed.contains("hunter2"), "{printed}");
        assert!(printed.contains("token = \"***\""), "{printed}");
        assert_eq!(config.token.unwrap().expose(), "hunter2");
        let error = serde_json::from_str::<Secret<u64>>("\"hunter2\"").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn a_dumped_configuration_reads_back() {
        let dumped = dump_config(&Config::default()).unwrap();
        assert_eq!(ConfigFile::parse::<Config>("dump", &dumped).unwrap(), Config::default());
    }
}
