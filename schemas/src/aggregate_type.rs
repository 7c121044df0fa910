//! Which aggregates there are, and the name of a stream.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{IdError, check};

/// The kinds of aggregate. Each has one topic of events, `<namespace>.<aggregate>.events`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum AggregateType {
    /// What is sold.
    Product,
    /// How much of it there is.
    Stock,
    /// What a buyer has gathered.
    Cart,
    /// What was bought.
    Order,
    /// How it was paid.
    Payment,
    /// Who bought it.
    Customer,
    /// How it travels.
    Shipment,
}

impl AggregateType {
    /// All, in the order of their topics.
    pub const ALL: [AggregateType; 7] =
        [Self::Product, Self::Stock, Self::Cart, Self::Order, Self::Payment, Self::Customer, Self::Shipment];

    /// The name used in topics, URLs and event ids.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Stock => "stock",
            Self::Cart => "cart",
            Self::Order => "order",
            Self::Payment => "payment",
            Self::Customer => "customer",
            Self::Shipment => "shipment",
        }
    }
}

impl fmt::Display for AggregateType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AggregateType {
    type Err = String;
    /// Reads the name; the error lists the names there are.
    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|t| t.as_str() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|t| t.as_str()).collect();
            format!("no aggregate is called {name:?}; there are {}", known.join(", "))
        })
    }
}

/// Names the stream of one aggregate instance: all its events, in order.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    aggregate_type: AggregateType,
    id: Arc<str>,
}

impl StreamId {
    /// The stream of the instance `id`; refuses ids outside of the alphabet.
    pub fn new(aggregate_type: AggregateType, id: impl AsRef<str>) -> Result<Self, IdError> {
        check("stream id", id.as_ref())?;
        Ok(Self { aggregate_type, id: id.as_ref().into() })
    }

    /// Which aggregate.
    pub fn aggregate_type(&self) -> AggregateType {
        self.aggregate_type
    }

    /// Which instance: the record key.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.aggregate_type, self.id)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for StreamId {
    type Err = String;
    /// Reads `<aggregate>/<id>`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (aggregate, id) =
            text.split_once('/').ok_or_else(|| format!("{text:?} is not <aggregate>/<id>"))?;
        Self::new(aggregate.parse()?, id).map_err(|e| e.to_string())
    }
}

impl Serialize for StreamId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StreamId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! stream_of {
    ($($id:ident => $aggregate:ident),+ $(,)?) => {$(
        impl From<&crate::$id> for StreamId {
            fn from(id: &crate::$id) -> Self {
                Self { aggregate_type: AggregateType::$aggregate, id: id.as_str().into() }
            }
        }
    )+};
}
stream_of!(CartId => Cart, OrderId => Order, PaymentId => Payment, CustomerId => Customer, ShipmentId => Shipment);

impl StreamId {
    /// The product stream of `sku`.
    pub fn product(sku: &crate::Sku) -> Self {
        Self { aggregate_type: AggregateType::Product, id: sku.as_str().into() }
    }

    /// The stock stream of `sku`.
    pub fn stock(sku: &crate::Sku) -> Self {
        Self { aggregate_type: AggregateType::Stock, id: sku.as_str().into() }
    }
}
