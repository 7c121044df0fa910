//! Which log a test runs on.

/// The platform's shapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The embedded log.
    Embedded,
    /// A real broker, in a namespace of its own.
    Kafka {
        /// `host:port`.
        bootstrap: String,
        /// Prefix of the topics.
        namespace: String,
    },
}

impl Shape {
    /// A fresh namespace on the broker that `MILLRACE_TEST_KAFKA` names; `None`, with a line that says so, without one.
    pub fn kafka() -> Option<Self> {
        let Ok(bootstrap) = std::env::var("MILLRACE_TEST_KAFKA") else {
            println!("skipped: MILLRACE_TEST_KAFKA is not set");
            return None;
        };
        Some(Self::kafka_at(&bootstrap))
    }

    /// A fresh namespace on the brokers at these addresses.
    pub fn kafka_at(bootstrap: &str) -> Self {
        let namespace = format!("test-{}", uuid::Uuid::new_v4().simple());
        Self::Kafka { bootstrap: bootstrap.to_owned(), namespace }
    }

    /// Both shapes that are to be had here.
    pub fn all() -> Vec<Self> {
        std::iter::once(Self::Embedded).chain(Self::kafka()).collect()
    }

    /// The flags that choose it.
    pub(crate) fn flags(&self) -> Vec<String> {
        match self {
            Self::Embedded => Vec::new(),
            Self::Kafka { bootstrap, namespace } => {
                vec!["--kafka".into(), bootstrap.clone(), "--namespace".into(), namespace.clone()]
            }
        }
    }
}
