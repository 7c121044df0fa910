//! The cart: what a buyer has gathered, at the prices seen, and what checking out found changed.

use std::sync::Arc;

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use imbl::Vector;
use schemas::cart::{
    AddToCart, CartChange, CartChangeKind, CartChangesFound, CartCheckedOut, CartClaimed, CartCommand,
    CartEvent, CartLine, CartLineAdded, CartLineChanged, CartLineRemoved, CartOpened, ChangeCartLine,
    CheckOutCart, LINES_MAX, OpenCart, Quote,
};
use schemas::{CartId, Currency, CustomerId, OrderId, Quantity, Sku};
use serde::{Deserialize, Serialize};

use crate::limits::{self, Invalid};

domain_errors! {
    /// Why a cart refuses a command.
    CartError {
        #[error("there is no cart {cart_id}")]
        NotFound { cart_id: CartId } => CartNotFound,
        #[error("the cart {cart_id} exists already, opened otherwise")]
        Exists { cart_id: CartId } => CartExists,
        #[error("the cart {cart_id} became order {order_id}")]
        Closed { cart_id: CartId, order_id: OrderId } => CartClosed,
        #[error("the cart {cart_id} belongs to another customer")]
        Claimed { cart_id: CartId } => CartClaimed,
        #[error("the cart {cart_id} is empty")]
        Empty { cart_id: CartId } => CartEmpty,
        #[error("the cart {cart_id} has no {sku}")]
        LineNotFound { cart_id: CartId, sku: Sku } => CartLineNotFound,
        #[error("the cart {cart_id} has {lines_max} lines already")]
        Full { cart_id: CartId, lines_max: usize } => CartFull,
        #[error("the cart is in {expected}, the price in {given}")]
        CurrencyMismatch { expected: Currency, given: Currency } => CurrencyMismatch,
        #[error("{field} {problem}")]
        InvalidValue { field: &'static str, problem: String } => InvalidValue,
    }
}

/// Where a cart stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CartStatus {
    /// There is no such cart.
    #[default]
    Missing,
    /// It can be filled and checked out.
    Open,
    /// It became an order.
    CheckedOut,
}

/// A cart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cart {
    opened: Option<Arc<CartOpened>>,
    customer_id: Option<CustomerId>,
    lines: Vector<CartLine>,
    /// What the last checkout found changed; forgotten as soon as the buyer goes on.
    changes: Arc<Vec<CartChange>>,
    order_id: Option<OrderId>,
}

impl Cart {
    /// Where it stands.
    pub fn status(&self) -> CartStatus {
        match (&self.opened, &self.order_id) {
            (None, _) => CartStatus::Missing,
            (Some(_), None) => CartStatus::Open,
            (Some(_), Some(_)) => CartStatus::CheckedOut,
        }
    }

    /// Its lines, in the order they were added; at most one per SKU.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = &CartLine> {
        self.lines.iter()
    }

    /// What the last checkout found changed and the buyer has yet to agree to.
    pub fn changes(&self) -> &[CartChange] {
        &self.changes
    }

    /// Whose it is; none: a guest's, or there is no cart.
    pub fn customer_id(&self) -> Option<&CustomerId> {
        self.customer_id.as_ref()
    }

    /// Currency of its prices; none: there is no cart.
    pub fn currency(&self) -> Option<Currency> {
        self.opened.as_ref().map(|opened| opened.currency)
    }

    /// The order that it became.
    pub fn order_id(&self) -> Option<&OrderId> {
        self.order_id.as_ref()
    }

    fn open(&self, cart_id: CartId, command: OpenCart) -> Result<Option<CartEvent>, CartError> {
        let OpenCart { customer_id, currency, channel } = command;
        if let Some(opened) = &self.opened {
            if opened.customer_id == customer_id && opened.currency == currency && opened.channel == channel {
                return Ok(None);
            }
            return Err(CartError::Exists { cart_id });
        }
        limits::text("channel", &channel, 1..=limits::LABEL_CHARS_MAX)?;
        Ok(Some(CartOpened { cart_id, customer_id, currency, channel }.into()))
    }

    fn add(&self, cart_id: CartId, command: AddToCart) -> Result<Option<CartEvent>, CartError> {
        let opened = self.must_be_open(&cart_id)?;
        let AddToCart { sku, quantity: added, unit_price } = command;
        if unit_price.currency != opened.currency {
            let (expected, given) = (opened.currency, unit_price.currency);
            return Err(CartError::CurrencyMismatch { expected, given });
        }
        limits::not_negative("unit_price", unit_price)?;
        let present = self.line(&sku);
        if present.is_none() && self.lines.len() >= LINES_MAX {
            return Err(CartError::Full { cart_id, lines_max: LINES_MAX });
        }
        let total = added.get() + present.map_or(0, |line| line.quantity.get());
        let quantity = Quantity::new(total).map_err(|_| {
            Invalid::new("quantity", format!("would be {total}, more than {}", Quantity::MAX))
        })?;
        let line = CartLine { sku, quantity, unit_price };
        Ok(Some(CartLineAdded { cart_id, customer_id: self.customer_id.clone(), added, line }.into()))
    }

    fn change(&self, cart_id: CartId, command: ChangeCartLine) -> Result<Option<CartEvent>, CartError> {
        self.must_be_open(&cart_id)?;
        let ChangeCartLine { sku, quantity } = command;
        let Some(present) = self.line(&sku) else {
            return Err(CartError::LineNotFound { cart_id, sku });
        };
        if present.quantity == quantity {
            return Ok(None);
        }
        let line = CartLine { sku, quantity, unit_price: present.unit_price };
        Ok(Some(CartLineChanged { cart_id, previous: present.quantity, line }.into()))
    }

    fn remove(&self, cart_id: CartId, sku: Sku) -> Result<Option<CartEvent>, CartError> {
        self.must_be_open(&cart_id)?;
        if self.line(&sku).is_none() {
            return Err(CartError::LineNotFound { cart_id, sku });
        }
        Ok(Some(CartLineRemoved { cart_id, sku }.into()))
    }

    fn claim(&self, cart_id: CartId, customer_id: CustomerId) -> Result<Option<CartEvent>, CartError> {
        self.must_be_open(&cart_id)?;
        match &self.customer_id {
            Some(owner) if *owner == customer_id => Ok(None),
            Some(_) => Err(CartError::Claimed { cart_id }),
            None => Ok(Some(CartClaimed { cart_id, customer_id }.into())),
        }
    }

    fn check_out(&self, cart_id: CartId, command: CheckOutCart) -> Result<Option<CartEvent>, CartError> {
        if self.order_id.as_ref() == Some(&command.order_id) {
            return Ok(None);
        }
        let opened = self.must_be_open(&cart_id)?;
        if self.lines.is_empty() {
            return Err(CartError::Empty { cart_id });
        }
        limits::optional_text("email", command.email.as_deref(), 1..=limits::EMAIL_CHARS_MAX)?;
        limits::text("country", &command.country, 1..=limits::LABEL_CHARS_MAX)?;
        limits::text("payment_method", &command.payment_method, 0..=limits::LABEL_CHARS_MAX)?;
        if let Some(address) = &command.shipping_address {
            limits::address("shipping_address", address)?;
        }
        check_quotes(&command.quotes, opened.currency)?;
        let (lines, changes) = self.reconsider(&command.quotes)?;
        if !changes.is_empty() {
            return Ok(Some(CartChangesFound { cart_id, changes, lines }.into()));
        }
        let CheckOutCart { order_id, email, country, shipping_address, payment_method, .. } = command;
        let checked_out = CartCheckedOut {
            cart_id,
            order_id,
            customer_id: self.customer_id.clone(),
            email,
            channel: opened.channel.clone(),
            country,
            currency: opened.currency,
            lines,
            shipping_address,
            payment_method,
        };
        Ok(Some(checked_out.into()))
    }

    /// The lines as the quotes allow them, and what had to change for it. A line can change twice: in its price and
    /// in its quantity.
    fn reconsider(&self, quotes: &[Quote]) -> Result<(Vec<CartLine>, Vec<CartChange>), Invalid> {
        let (mut lines, mut changes) = (Vec::with_capacity(self.lines.len()), Vec::new());
        for line in &self.lines {
            let quote = quotes
                .iter()
                .find(|quote| quote.sku == line.sku)
                .ok_or_else(|| Invalid::new("quotes", format!("has none for {}", line.sku)))?;
            let change = |kind| CartChange {
                sku: line.sku.clone(),
                kind,
                seen_price: line.unit_price,
                current_price: quote.unit_price,
                quantity: line.quantity,
                available: quote.available,
            };
            let Some(unit_price) = quote.unit_price else {
                changes.push(change(CartChangeKind::NotForSale));
                continue;
            };
            if unit_price != line.unit_price {
                changes.push(change(CartChangeKind::PriceChanged));
            }
            if quote.available < line.quantity.get() {
                changes.push(change(CartChangeKind::NotEnough));
            }
            // None available: the line goes.
            if let Ok(quantity) = Quantity::new(line.quantity.get().min(quote.available)) {
                lines.push(CartLine { sku: line.sku.clone(), quantity, unit_price });
            }
        }
        Ok((lines, changes))
    }

    fn line(&self, sku: &Sku) -> Option<&CartLine> {
        self.lines.iter().find(|line| line.sku == *sku)
    }

    fn must_be_open(&self, cart_id: &CartId) -> Result<&CartOpened, CartError> {
        let Some(opened) = &self.opened else {
            return Err(CartError::NotFound { cart_id: cart_id.clone() });
        };
        if let Some(order_id) = self.order_id.clone() {
            return Err(CartError::Closed { cart_id: cart_id.clone(), order_id });
        }
        Ok(opened)
    }

    fn put_line(&mut self, line: CartLine) {
        match self.lines.iter().position(|present| present.sku == line.sku) {
            Some(at) => {
                self.lines.set(at, line);
            }
            None => self.lines.push_back(line),
        }
        self.changes = Arc::default();
    }
}

fn check_quotes(quotes: &[Quote], currency: Currency) -> Result<(), CartError> {
    limits::entries("quotes", quotes.len(), LINES_MAX)?;
    for quote in quotes {
        if quote.available < 0 {
            return Err(Invalid::new("available", format!("is {} of {}", quote.available, quote.sku)).into());
        }
        let Some(price) = quote.unit_price else { continue };
        if price.currency != currency {
            return Err(CartError::CurrencyMismatch { expected: currency, given: price.currency });
        }
        limits::not_negative("unit_price", price)?;
    }
    Ok(())
}

impl Aggregate for Cart {
    const TYPE: &'static str = "cart";
    type Command = (CartId, CartCommand);
    type Event = CartEvent;
    type Error = CartError;
    type Services = ();

    async fn handle(
        &mut self,
        (cart_id, command): Self::Command,
        _: &(),
        sink: &EventSink<Self>,
    ) -> Result<(), CartError> {
        let event = match command {
            CartCommand::Open(command) => self.open(cart_id, command)?,
            CartCommand::Add(command) => self.add(cart_id, command)?,
            CartCommand::Change(command) => self.change(cart_id, command)?,
            CartCommand::Remove(command) => self.remove(cart_id, command.sku)?,
            CartCommand::Claim(command) => self.claim(cart_id, command.customer_id)?,
            CartCommand::CheckOut(command) => self.check_out(cart_id, command)?,
        };
        if let Some(event) = event {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: CartEvent) {
        match event {
            CartEvent::Opened(event) => {
                self.customer_id = event.customer_id.clone();
                self.opened = Some(Arc::new(event));
            }
            CartEvent::LineAdded(event) => self.put_line(event.line),
            CartEvent::LineChanged(event) => self.put_line(event.line),
            CartEvent::LineRemoved(event) => {
                self.lines.retain(|line| line.sku != event.sku);
                self.changes = Arc::default();
            }
            CartEvent::Claimed(event) => self.customer_id = Some(event.customer_id),
            CartEvent::ChangesFound(event) => {
                self.lines = event.lines.into();
                self.changes = Arc::new(event.changes);
            }
            CartEvent::CheckedOut(event) => {
                self.order_id = Some(event.order_id);
                self.changes = Arc::default();
            }
        }
    }
}
