//! Which projections a projector runs.

use read_store::Table;
use schemas::AggregateType;

use crate::folder::{Folder, TableFolder};
use crate::{
    Carts, CustomerAccounts, CustomerCredits, CustomerOrders, Orders, OrdersOfCustomer, Payments, Products,
    Projection, Shipments, ShipmentsOfOrder, Stock, Streams, TotalsByDay,
};

/// A list of projections. Cheap to clone.
#[derive(Clone, Default)]
pub struct Catalogue(Vec<Entry>);

#[derive(Clone, Copy)]
struct Entry {
    table: Table,
    topics: &'static [AggregateType],
    folder: fn(u32) -> Box<dyn Folder>,
}

impl Catalogue {
    /// No projections.
    pub fn new() -> Self {
        Self::default()
    }

    /// The projections that the query API reads.
    pub fn standard() -> Self {
        Self::new()
            .with::<Products>()
            .with::<Stock>()
            .with::<Carts>()
            .with::<Orders>()
            .with::<Payments>()
            .with::<Shipments>()
            .with::<ShipmentsOfOrder>()
            .with::<CustomerAccounts>()
            .with::<CustomerCredits>()
            .with::<CustomerOrders>()
            .with::<OrdersOfCustomer>()
            .with::<TotalsByDay>()
            .with::<Streams>()
    }

    /// Adds a projection.
    ///
    /// # Panics
    /// When its table is in the list already.
    #[must_use]
    pub fn with<P: Projection>(mut self) -> Self {
        assert!(self.0.iter().all(|known| known.table != P::TABLE), "{} stands twice", P::TABLE);
        let folder = |generation| -> Box<dyn Folder> { Box::new(TableFolder::<P>::new(generation)) };
        self.0.push(Entry { table: P::TABLE, topics: P::TOPICS, folder });
        self
    }

    /// The tables, each with the aggregates whose events it is made of.
    pub fn tables(&self) -> impl Iterator<Item = (Table, &'static [AggregateType])> + '_ {
        self.0.iter().map(|entry| (entry.table, entry.topics))
    }

    /// The table of that name, such as `order_v1`, or the newest of the projection, such as `order`.
    pub fn find(&self, name: &str) -> Option<Table> {
        self.tables().map(|(table, _)| table).find(|table| table.name() == name || table.to_string() == name)
    }

    /// A folder of one projection, into the generation that `table` is.
    pub(crate) fn folder(&self, table: Table) -> Option<Box<dyn Folder>> {
        let entry = self.0.iter().find(|entry| entry.table == table.of_generation(1))?;
        Some((entry.folder)(table.generation()))
    }

    /// A folder of each projection, into the generation that `generation` says.
    pub(crate) fn folders(&self, generation: impl Fn(Table) -> u32) -> Vec<Box<dyn Folder>> {
        self.0.iter().map(|entry| (entry.folder)(generation(entry.table))).collect()
    }
}

/// The tables of [`Catalogue::standard`].
pub const STANDARD_TABLES: &[Table] = &[
    Products::TABLE,
    Stock::TABLE,
    Carts::TABLE,
    Orders::TABLE,
    Payments::TABLE,
    Shipments::TABLE,
    ShipmentsOfOrder::TABLE,
    CustomerAccounts::TABLE,
    CustomerCredits::TABLE,
    CustomerOrders::TABLE,
    OrdersOfCustomer::TABLE,
    TotalsByDay::TABLE,
    Streams::TABLE,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_standard_tables_is_the_standard_catalogue() {
        assert_eq!(
            Catalogue::standard().tables().map(|(table, _)| table).collect::<Vec<_>>(),
            STANDARD_TABLES
        );
    }
}
