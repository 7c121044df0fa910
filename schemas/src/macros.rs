//! Macros for the two shapes that repeat here: string ids and the event enum of an aggregate.

/// Defines a validated string id: 1 to 128 bytes of the stated alphabet, cheap to clone.
macro_rules! string_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// 1 to 128 bytes of `A-Z a-z 0-9 . _ - ~ : @ +` and inner spaces.
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, utoipa::ToSchema)]
        #[schema(value_type = String, pattern = r"^[A-Za-z0-9._~:@+-]([A-Za-z0-9._~:@+ -]{0,126}[A-Za-z0-9._~:@+-])?$")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Checks and wraps `value`; [`IdError`](crate::IdError) says what is wrong with it.
            pub fn new(value: impl AsRef<str>) -> Result<Self, crate::IdError> {
                let value = value.as_ref();
                crate::id::check(stringify!($name), value)?;
                Ok(Self(value.into()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::IdError;
            fn from_str(value: &str) -> Result<Self, Self::Err> {
                Self::new(value)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = <String as serde::Deserialize>::deserialize(deserializer)?;
                Self::new(value).map_err(serde::de::Error::custom)
            }
        }

        avro_as!($name, apache_avro::Schema::String);
    };
}

/// Says which primitive Avro schema a type is written as.
macro_rules! avro_as {
    ($name:ty, $schema:expr) => {
        impl apache_avro::serde::AvroSchemaComponent for $name {
            fn get_schema_in_ctxt(
                _: &mut std::collections::HashSet<apache_avro::schema::Name>,
                _: apache_avro::schema::NamespaceRef,
            ) -> apache_avro::Schema {
                $schema
            }

            fn get_record_fields_in_ctxt(
                _: &mut std::collections::HashSet<apache_avro::schema::Name>,
                _: apache_avro::schema::NamespaceRef,
            ) -> Option<Vec<apache_avro::schema::RecordField>> {
                None
            }
        }
    };
}

/// Gives a unit-variant enum its Avro schema: an enum of namespace `millrace` with the snake_case symbols listed, in
/// the order of the variants. (The derive refuses documented variants.)
macro_rules! avro_enum {
    ($name:ident, $doc:literal: $($symbol:literal),+ $(,)?) => {
        impl apache_avro::serde::AvroSchemaComponent for $name {
            fn get_schema_in_ctxt(
                named: &mut std::collections::HashSet<apache_avro::schema::Name>,
                _: apache_avro::schema::NamespaceRef,
            ) -> apache_avro::Schema {
                let text = serde_json::json!({
                    "type": "enum", "name": stringify!($name), "namespace": "millrace", "doc": $doc, "symbols": [$($symbol),+]
                });
                let name = apache_avro::schema::Name::new(concat!("millrace.", stringify!($name)))
                    .expect("a Rust type's name is a valid Avro name");
                if named.insert(name.clone()) {
                    apache_avro::Schema::parse(&text).expect("the listed symbols are valid Avro names")
                } else {
                    apache_avro::Schema::Ref { name }
                }
            }

            fn get_record_fields_in_ctxt(
                _: &mut std::collections::HashSet<apache_avro::schema::Name>,
                _: apache_avro::schema::NamespaceRef,
            ) -> Option<Vec<apache_avro::schema::RecordField>> {
                None
            }
        }
    };
}

/// Defines the event enum of one aggregate over its event structs, with the released name and version of each.
///
/// `Placed(OrderPlaced) = "order.placed" v 1` is the CloudEvents type `millrace.order.placed.v1` and the schema file
/// `schemas/avro/millrace.order.placed.v1.avsc`.
macro_rules! events {
    ($(#[$doc:meta])* $name:ident of $aggregate:ident { $($variant:ident($body:ident) = $type:literal v $version:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(tag = "type", content = "data", rename_all = "snake_case")]
        #[allow(clippy::large_enum_variant, reason = "events are moved once, from decision to log; boxing would cost each")]
        pub enum $name {
            $(#[doc = concat!("`millrace.", $type, ".v", $version, "`")] $variant($body),)+
        }

        impl $name {
            /// The released event types of this aggregate: CloudEvents type, body's Avro schema text.
            pub(crate) const RELEASED: &'static [(&'static str, &'static str)] = &[
                $((
                    concat!("millrace.", $type, ".v", $version),
                    include_str!(concat!("../avro/millrace.", $type, ".v", $version, ".avsc")),
                ),)+
            ];

            /// The CloudEvents type of this event, for example `millrace.order.placed.v1`.
            pub fn ce_type(&self) -> &'static str {
                match self { $(Self::$variant(_) => concat!("millrace.", $type, ".v", $version),)+ }
            }

            /// Writes the body as an Avro datum with `write`.
            pub(crate) fn with_body<R>(&self, write: impl crate::avro::BodyVisitor<R>) -> R {
                match self { $(Self::$variant(body) => write.visit(body),)+ }
            }

            /// Reads a body of the (current) type `ce_type`; `None` when the type is not of this aggregate.
            pub(crate) fn read_body<R: crate::avro::BodyReader>(ce_type: &str, reader: R) -> Option<Result<Self, R::Error>> {
                match ce_type {
                    $(concat!("millrace.", $type, ".v", $version) => Some(reader.read::<$body>().map(Self::$variant)),)+
                    _ => None,
                }
            }

            /// The Avro schemas that the Rust types derive, by CloudEvents type: what a release is checked against.
            pub fn derived_schemas() -> Vec<(&'static str, apache_avro::Schema)> {
                use apache_avro::AvroSchema;
                vec![$((concat!("millrace.", $type, ".v", $version), $body::get_schema()),)+]
            }
        }

        $(impl From<$body> for $name { fn from(body: $body) -> Self { Self::$variant(body) } })+

        $(impl From<$body> for crate::Event { fn from(body: $body) -> Self { crate::Event::$aggregate($name::$variant(body)) } })+

        impl cqrs_es::DomainEvent for $name {
            fn event_type(&self) -> String {
                self.ce_type().to_owned()
            }
            fn event_version(&self) -> String {
                match self { $(Self::$variant(_) => stringify!($version).to_owned(),)+ }
            }
        }
    };
}
