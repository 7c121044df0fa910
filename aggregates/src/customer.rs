//! The customer: profile, addresses, consents, tags and an account of credits.

use std::sync::Arc;

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use imbl::{OrdMap, OrdSet};
use schemas::customer::{
    CreditAccount, CreditKind, CustomerAddressPut, CustomerAddressRemoved, CustomerCommand,
    CustomerConsentRecorded, CustomerCredited, CustomerEvent, CustomerInteractionRecorded, CustomerProfile,
    CustomerProfileChanged, CustomerRegistered, CustomerTagged, CustomerUntagged, PutAddress, RecordConsent,
    RecordInteraction,
};
use schemas::order::PostalAddress;
use schemas::{AddressId, Currency, CustomerId, Money, OrderId, Reference};
use serde::{Deserialize, Serialize};

use crate::limits::{self, Invalid};

domain_errors! {
    /// Why a customer's record refuses a command.
    CustomerError {
        #[error("there is no customer {customer_id}")]
        NotFound { customer_id: CustomerId } => CustomerNotFound,
        #[error("the customer {customer_id} exists already, with another profile")]
        Exists { customer_id: CustomerId } => CustomerExists,
        #[error("the customer {customer_id} has no address {address_id}")]
        AddressNotFound { customer_id: CustomerId, address_id: AddressId } => AddressNotFound,
        #[error("the customer {customer_id} has {limit} {what} already")]
        Limit { customer_id: CustomerId, what: &'static str, limit: usize } => CustomerLimit,
        #[error("the reference {reference} stands for another credit of customer {customer_id}")]
        ReferenceReused { customer_id: CustomerId, reference: Reference } => ReferenceReused,
        #[error("the account is in {expected}, the amount in {given}")]
        CurrencyMismatch { expected: Currency, given: Currency } => CurrencyMismatch,
        #[error("{field} {problem}")]
        InvalidValue { field: &'static str, problem: String } => InvalidValue,
    }
}

/// What a customer said about a purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stance {
    granted: bool,
    source: String,
}

/// What a reference stands for. The words of the reason are for people: they do not make another credit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CreditDeed {
    amount: Money,
    kind: CreditKind,
    order_id: Option<OrderId>,
}

/// A customer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Customer {
    profile: Option<Arc<CustomerProfile>>,
    addresses: OrdMap<AddressId, PostalAddress>,
    consents: OrdMap<String, Stance>,
    tags: OrdSet<String>,
    credits: OrdMap<Reference, CreditDeed>,
    balance: Option<Money>,
}

impl Customer {
    /// Whether there is such a customer.
    pub fn is_registered(&self) -> bool {
        self.profile.is_some()
    }

    /// What is known; none: there is no such customer.
    pub fn profile(&self) -> Option<&CustomerProfile> {
        self.profile.as_deref()
    }

    /// The account, in the customer's favour when positive; none: never credited.
    pub fn balance(&self) -> Option<Money> {
        self.balance
    }

    /// Whether a purpose was allowed; none: never asked.
    pub fn consent(&self, purpose: &str) -> Option<bool> {
        self.consents.get(purpose).map(|stance| stance.granted)
    }

    fn register(
        &self,
        customer_id: CustomerId,
        profile: CustomerProfile,
    ) -> Result<Option<CustomerEvent>, CustomerError> {
        if let Some(known) = &self.profile {
            if **known == profile {
                return Ok(None);
            }
            return Err(CustomerError::Exists { customer_id });
        }
        check_profile(&profile)?;
        Ok(Some(CustomerRegistered { customer_id, profile }.into()))
    }

    fn change_profile(
        &self,
        customer_id: CustomerId,
        profile: CustomerProfile,
    ) -> Result<Option<CustomerEvent>, CustomerError> {
        if *self.must_exist(&customer_id)? == profile {
            return Ok(None);
        }
        check_profile(&profile)?;
        Ok(Some(CustomerProfileChanged { customer_id, profile }.into()))
    }

    fn put_address(
        &self,
        customer_id: CustomerId,
        command: PutAddress,
    ) -> Result<Option<CustomerEvent>, CustomerError> {
        self.must_exist(&customer_id)?;
        let PutAddress { address_id, address } = command;
        limits::address("address", &address)?;
        match self.addresses.get(&address_id) {
            Some(known) if *known == address => return Ok(None),
            Some(_) => {}
            None => room(&customer_id, "addresses", self.addresses.len())?,
        }
        Ok(Some(CustomerAddressPut { customer_id, address_id, address }.into()))
    }

    fn remove_address(
        &self,
        customer_id: CustomerId,
        address_id: AddressId,
    ) -> Result<Option<CustomerEvent>, CustomerError> {
        self.must_exist(&customer_id)?;
        if !self.addresses.contains_key(&address_id) {
            return Err(CustomerError::AddressNotFound { customer_id, address_id });
        }
        Ok(Some(CustomerAddressRemoved { customer_id, address_id }.into()))
    }

    fn record_consent(
        &self,
        customer_id: CustomerId,
        command: RecordConsent,
    ) -> Result<Option<CustomerEvent>, CustomerError> {
        self.must_exist(&customer_id)?;
        let RecordConsent { purpose, granted, source } = command;
        limits::text("purpose", &purpose, 1..=limits::LABEL_CHARS_MAX)?;
        limits::text("source", &source, 0..=limits::NAME_CHARS_MAX)?;
        match self.consents.get(&purpose) {
            Some(said) if said.granted == granted && said.source == source => return Ok(None),
            Some(_) => {}
            None => room(&customer_id, "consents", self.consents.len())?,
        }
        Ok(Some(CustomerConsentRecorded { customer_id, purpose, granted, source }.into()))
    }

    fn record_interaction(
        &self,
        customer_id: CustomerId,
        command: RecordInteraction,
    ) -> Result<Option<CustomerEvent>, CustomerError> {
        self.must_exist(&customer_id)?;
        let RecordInteraction { kind, sku, detail, channel, session } = command;
        limits::text("detail", &detail, 0..=limits::NOTE_CHARS_MAX)?;
        limits::text("channel", &channel, 0..=limits::LABEL_CHARS_MAX)?;
        limits::optional_text("session", session.as_deref(), 1..=limits::FOREIGN_ID_CHARS_MAX)?;
        Ok(Some(CustomerInteractionRecorded { customer_id, kind, sku, detail, channel, session }.into()))
    }

    fn add_tag(&self, customer_id: CustomerId, tag: String) -> Result<Option<CustomerEvent>, CustomerError> {
        self.must_exist(&customer_id)?;
        limits::text("tag", &tag, 1..=limits::LABEL_CHARS_MAX)?;
        if self.tags.contains(&tag) {
            return Ok(None);
        }
        room(&customer_id, "tags", self.tags.len())?;
        Ok(Some(CustomerTagged { customer_id, tag }.into()))
    }

    fn remove_tag(
        &self,
        customer_id: CustomerId,
        tag: String,
    ) -> Result<Option<CustomerEvent>, CustomerError> {
        self.must_exist(&customer_id)?;
        if !self.tags.contains(&tag) {
            return Ok(None);
        }
        Ok(Some(CustomerUntagged { customer_id, tag }.into()))
    }

    /// An amount of 0 is a credit too: a document that is worth nothing is still on record.
    fn credit(
        &self,
        customer_id: CustomerId,
        command: CreditAccount,
    ) -> Result<Option<CustomerEvent>, CustomerError> {
        self.must_exist(&customer_id)?;
        let CreditAccount { reference, amount, kind, order_id, reason } = command;
        match self.credits.get(&reference) {
            None => {}
            Some(done) if *done == (CreditDeed { amount, kind, order_id: order_id.clone() }) => {
                return Ok(None);
            }
            Some(_) => return Err(CustomerError::ReferenceReused { customer_id, reference }),
        }
        limits::amount("amount", amount)?;
        limits::text("reason", &reason, 0..=limits::NOTE_CHARS_MAX)?;
        let before = self.balance.unwrap_or(Money::zero(amount.currency));
        if before.currency != amount.currency {
            let (expected, given) = (before.currency, amount.currency);
            return Err(CustomerError::CurrencyMismatch { expected, given });
        }
        let balance = before
            .checked_add(amount)
            .map_err(|_| Invalid::new("amount", format!("is {amount}, the balance would not fit 64 bits")))?;
        Ok(Some(CustomerCredited { customer_id, reference, amount, kind, order_id, reason, balance }.into()))
    }

    fn must_exist(&self, customer_id: &CustomerId) -> Result<&CustomerProfile, CustomerError> {
        self.profile().ok_or_else(|| CustomerError::NotFound { customer_id: customer_id.clone() })
    }
}

/// There must be room for one more.
fn room(customer_id: &CustomerId, what: &'static str, present: usize) -> Result<(), CustomerError> {
    if present < limits::ENTRIES_MAX {
        return Ok(());
    }
    Err(CustomerError::Limit { customer_id: customer_id.clone(), what, limit: limits::ENTRIES_MAX })
}

fn check_profile(profile: &CustomerProfile) -> Result<(), Invalid> {
    limits::text("name", &profile.name, 0..=limits::NAME_CHARS_MAX)?;
    limits::texts("emails", &profile.emails, 1..=limits::EMAIL_CHARS_MAX)?;
    limits::texts("phones", &profile.phones, 1..=limits::LABEL_CHARS_MAX)?;
    limits::text("locale", &profile.locale, 0..=limits::LABEL_CHARS_MAX)?;
    limits::text("country", &profile.country, 0..=limits::LABEL_CHARS_MAX)
}

impl Aggregate for Customer {
    const TYPE: &'static str = "customer";
    type Command = (CustomerId, CustomerCommand);
    type Event = CustomerEvent;
    type Error = CustomerError;
    type Services = ();

    async fn handle(
        &mut self,
        (customer_id, command): Self::Command,
        _: &(),
        sink: &EventSink<Self>,
    ) -> Result<(), CustomerError> {
        let event = match command {
            CustomerCommand::Register(profile) => self.register(customer_id, profile)?,
            CustomerCommand::ChangeProfile(profile) => self.change_profile(customer_id, profile)?,
            CustomerCommand::PutAddress(command) => self.put_address(customer_id, command)?,
            CustomerCommand::RemoveAddress(command) => {
                self.remove_address(customer_id, command.address_id)?
            }
            CustomerCommand::RecordConsent(command) => self.record_consent(customer_id, command)?,
            CustomerCommand::RecordInteraction(command) => self.record_interaction(customer_id, command)?,
            CustomerCommand::AddTag(command) => self.add_tag(customer_id, command.tag)?,
            CustomerCommand::RemoveTag(command) => self.remove_tag(customer_id, command.tag)?,
            CustomerCommand::Credit(command) => self.credit(customer_id, command)?,
        };
        if let Some(event) = event {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: CustomerEvent) {
        match event {
            CustomerEvent::Registered(event) => self.profile = Some(Arc::new(event.profile)),
            CustomerEvent::ProfileChanged(event) => self.profile = Some(Arc::new(event.profile)),
            CustomerEvent::AddressPut(event) => {
                self.addresses.insert(event.address_id, event.address);
            }
            CustomerEvent::AddressRemoved(event) => {
                self.addresses.remove(&event.address_id);
            }
            CustomerEvent::ConsentRecorded(event) => {
                let stance = Stance { granted: event.granted, source: event.source };
                self.consents.insert(event.purpose, stance);
            }
            // Read models tell what a customer did; no rule depends on it.
            CustomerEvent::InteractionRecorded(_) => {}
            CustomerEvent::Tagged(event) => {
                self.tags.insert(event.tag);
            }
            CustomerEvent::Untagged(event) => {
                self.tags.remove(&event.tag);
            }
            CustomerEvent::Credited(event) => {
                self.balance = Some(event.balance);
                let CustomerCredited { reference, amount, kind, order_id, .. } = event;
                self.credits.insert(reference, CreditDeed { amount, kind, order_id });
            }
        }
    }
}
