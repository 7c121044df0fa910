//! Who buys: one document per account, of the customer's own events, and one row per credit. What a customer bought is
//! in [`CustomerOrders`](crate::CustomerOrders): orders lie in other partitions.

use read_store::Table;
use schemas::customer::{Consent, CreditKind, CustomerEvent, CustomerProfile};
use schemas::order::PostalAddress;
use schemas::{
    AddressId, AggregateType, Event, Money, OrderId, Position, RecordedEvent, Reference, Timestamp, Version,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::projection::version_key;
use crate::{FoldError, Key, Projection, RowId};

/// One of a customer's addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CustomerAddress {
    /// Which.
    pub address_id: AddressId,
    /// The address.
    pub address: PostalAddress,
}

/// A customer's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CustomerDocument {
    /// The customer.
    pub id: String,
    /// What is known; empty before the registration.
    pub profile: CustomerProfile,
    /// When they became a customer; none: the account has only been credited so far.
    pub registered_at: Option<Timestamp>,
    /// Labels, ordered.
    pub tags: Vec<String>,
    /// What they allow and forbid, the last word on each purpose, ordered by purpose.
    pub consents: Vec<Consent>,
    /// Addresses, in the order in which they were added.
    pub addresses: Vec<CustomerAddress>,
    /// The account's balance in each currency, in the customer's favour when positive, ordered by currency.
    pub balances: Vec<Money>,
    /// How many credits there were.
    pub credits: u64,
    /// How many interactions there were.
    pub interactions: u64,
    /// When the last of them was.
    pub last_interaction_at: Option<Timestamp>,
    /// Its stream's version.
    pub version: Version,
    /// Where its last event stands in the log.
    #[schema(value_type = String, example = "millrace.customer.events/0@17")]
    pub position: Position,
}

impl CustomerDocument {
    fn new(id: &str, event: &RecordedEvent) -> Self {
        Self {
            id: id.to_owned(),
            profile: CustomerProfile::default(),
            registered_at: None,
            tags: Vec::new(),
            consents: Vec::new(),
            addresses: Vec::new(),
            balances: Vec::new(),
            credits: 0,
            interactions: 0,
            last_interaction_at: None,
            version: event.metadata.version,
            position: event.position.clone(),
        }
    }

    fn put_address(&mut self, address_id: &AddressId, address: &PostalAddress) {
        match self.addresses.iter_mut().find(|known| known.address_id == *address_id) {
            Some(known) => known.address.clone_from(address),
            None => {
                let (address_id, address) = (address_id.clone(), address.clone());
                self.addresses.push(CustomerAddress { address_id, address });
            }
        }
    }

    fn consent(&mut self, consent: Consent) {
        match self.consents.binary_search_by(|known| known.purpose.cmp(&consent.purpose)) {
            Ok(at) => self.consents[at] = consent,
            Err(at) => self.consents.insert(at, consent),
        }
    }

    fn tag(&mut self, tag: &str) {
        if let Err(at) = self.tags.binary_search_by(|known| known.as_str().cmp(tag)) {
            self.tags.insert(at, tag.to_owned());
        }
    }

    fn set_balance(&mut self, balance: Money) {
        match self.balances.binary_search_by_key(&balance.currency, |known| known.currency) {
            Ok(at) => self.balances[at] = balance,
            Err(at) => self.balances.insert(at, balance),
        }
    }
}

/// The customers' accounts.
pub struct CustomerAccounts;

impl Projection for CustomerAccounts {
    type Document = CustomerDocument;
    const TABLE: Table = Table::new("customer", 1);
    const TOPICS: &'static [AggregateType] = &[AggregateType::Customer];
    const KEY: Key = Key::Stream;

    fn rows(event: &RecordedEvent, rows: &mut Vec<RowId>) {
        rows.push(RowId::of(event.metadata.stream.id()));
    }

    fn fold(
        row: &RowId,
        document: Option<CustomerDocument>,
        event: &RecordedEvent,
    ) -> Result<Option<CustomerDocument>, FoldError> {
        let Event::Customer(body) = &event.event else { return Ok(document) };
        let mut customer = document.unwrap_or_else(|| CustomerDocument::new(&row.partition_key, event));
        let at = event.metadata.occurred_at;
        match body {
            CustomerEvent::Registered(registered) => {
                customer.profile = registered.profile.clone();
                customer.registered_at = Some(at);
            }
            CustomerEvent::ProfileChanged(changed) => customer.profile = changed.profile.clone(),
            CustomerEvent::AddressPut(put) => customer.put_address(&put.address_id, &put.address),
            CustomerEvent::AddressRemoved(removed) => {
                customer.addresses.retain(|known| known.address_id != removed.address_id);
            }
            CustomerEvent::ConsentRecorded(recorded) => customer.consent(Consent {
                purpose: recorded.purpose.clone(),
                granted: recorded.granted,
                source: recorded.source.clone(),
                recorded_at: at,
            }),
            CustomerEvent::InteractionRecorded(_) => {
                customer.interactions += 1;
                customer.last_interaction_at = customer.last_interaction_at.max(Some(at));
            }
            CustomerEvent::Tagged(tagged) => customer.tag(&tagged.tag),
            CustomerEvent::Untagged(untagged) => customer.tags.retain(|known| *known != untagged.tag),
            CustomerEvent::Credited(credited) => {
                customer.credits += 1;
                customer.set_balance(credited.balance);
            }
        }
        customer.version = event.metadata.version;
        customer.position = event.position.clone();
        Ok(Some(customer))
    }
}

/// A credit to (or, negative, a debit of) a customer's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountCredit {
    /// The document.
    pub reference: Reference,
    /// In the customer's favour when positive.
    pub amount: Money,
    /// Which kind.
    pub kind: CreditKind,
    /// The order it goes back to.
    pub order_id: Option<OrderId>,
    /// Why, for people.
    pub reason: String,
    /// The account afterwards.
    pub balance: Money,
    /// When.
    pub credited_at: Timestamp,
    /// The version of the customer's stream at which it was recorded.
    pub version: Version,
}

/// The credits of every account: partition key the customer, sort key the version.
pub struct CustomerCredits;

impl Projection for CustomerCredits {
    type Document = AccountCredit;
    const TABLE: Table = Table::new("customer_credit", 1);
    const TOPICS: &'static [AggregateType] = &[AggregateType::Customer];
    const KEY: Key = Key::Stream;
    const WRITE_ONCE: bool = true;

    fn rows(event: &RecordedEvent, rows: &mut Vec<RowId>) {
        if let Event::Customer(CustomerEvent::Credited(_)) = &event.event {
            rows.push(RowId::new(event.metadata.stream.id(), version_key(event.metadata.version)));
        }
    }

    fn fold(
        _: &RowId,
        document: Option<AccountCredit>,
        event: &RecordedEvent,
    ) -> Result<Option<AccountCredit>, FoldError> {
        let Event::Customer(CustomerEvent::Credited(credited)) = &event.event else { return Ok(document) };
        Ok(Some(AccountCredit {
            reference: credited.reference.clone(),
            amount: credited.amount,
            kind: credited.kind,
            order_id: credited.order_id.clone(),
            reason: credited.reason.clone(),
            balance: credited.balance,
            credited_at: event.metadata.occurred_at,
            version: event.metadata.version,
        }))
    }
}
