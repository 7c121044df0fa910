//! The sandbox carrier.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use schemas::EventId;
use schemas::order::PostalAddress;

use super::bounded::Bounded;
use crate::carrier::{BookingRequest, BookingResult, Carrier, Tracking, TrackingRequest};
use crate::payment_provider::{Found, PortError, Reply};

/// A carrier in memory: `sandbox` delivers, `sandbox:fail` refuses the booking, `sandbox:lost` loses the shipment. The
/// words may also stand in the address (its name or one of its lines). Every other carrier's name delivers.
pub struct SandboxCarrier {
    bookings: Mutex<Bookings>,
}

type Bookings = Bounded<EventId, (BookingRequest, Booking)>;

/// Most bookings that are remembered.
const BOOKINGS_MAX: usize = 100_000;

#[derive(Clone, Debug, PartialEq)]
struct Booking {
    result: BookingResult,
    is_cancelled: bool,
}

/// What the tracking number of a shipment that will be lost begins with.
const LOST: &str = "SBX-LOST-";

impl SandboxCarrier {
    /// A carrier without bookings.
    pub fn new() -> Self {
        Self { bookings: Mutex::new(Bounded::new(BOOKINGS_MAX)) }
    }

    /// How many bookings stand that were neither refused nor taken back.
    pub fn bookings_open(&self) -> usize {
        let is_open = |booking: &Booking| {
            !booking.is_cancelled && matches!(booking.result, BookingResult::Booked { .. })
        };
        self.lock().values().filter(|(_, booking)| is_open(booking)).count()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Bookings> {
        self.bookings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for SandboxCarrier {
    fn default() -> Self {
        Self::new()
    }
}

fn is_told(request: &BookingRequest, word: &str) -> bool {
    let in_address = |address: &PostalAddress| {
        address.name.contains(word) || address.lines.iter().any(|line| line.contains(word))
    };
    request.carrier == word || request.address.as_ref().is_some_and(in_address)
}

fn decide(request: &BookingRequest) -> BookingResult {
    if is_told(request, "sandbox:fail") {
        let reason = "the sandbox was told to refuse the booking".to_owned();
        BookingResult::Refused { code: "refused".to_owned(), reason }
    } else if is_told(request, "sandbox:lost") {
        BookingResult::Booked { tracking_number: format!("{LOST}{}", request.shipment_id) }
    } else {
        BookingResult::Booked { tracking_number: format!("SBX-{}", request.shipment_id) }
    }
}

#[async_trait]
impl Carrier for SandboxCarrier {
    async fn book(&self, request: &BookingRequest) -> Result<Reply<BookingResult>, PortError> {
        let mut bookings = self.lock();
        let fresh = || (request.clone(), Booking { result: decide(request), is_cancelled: false });
        let (booked, booking) = bookings.entry(&request.key, fresh);
        if booked != request {
            return Err(PortError::KeyReused { key: request.key.clone() });
        }
        Ok(Reply::Final(booking.result.clone()))
    }

    async fn query(&self, request: &BookingRequest) -> Result<Found<BookingResult>, PortError> {
        let bookings = self.lock();
        let known = bookings.get(&request.key).map(|(_, booking)| booking.result.clone());
        Ok(known.map_or(Found::NotFound, Found::Known))
    }

    async fn cancel(&self, request: &BookingRequest) -> Result<(), PortError> {
        if let Some((_, booking)) = self.lock().get_mut(&request.key) {
            booking.is_cancelled = true;
        }
        Ok(())
    }

    async fn track(&self, request: &TrackingRequest) -> Result<Tracking, PortError> {
        Ok(if request.tracking_number.starts_with(LOST) {
            let reason = "the sandbox was told to lose the shipment".to_owned();
            Tracking::Failed { code: "lost".to_owned(), reason }
        } else {
            Tracking::Delivered { received_by: "sandbox".to_owned() }
        })
    }
}
